"""Signals that ask a process to end: SIGINT and SIGTERM.

By default, they end a command at once, without an exception, which could otherwise occur in the middle of an import.
While a command does work that it should complete first, it only notes them (`noted_signals`). While it does work that
needs a clean-up, they raise an exception (`raised_signals`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from pairlift.errors import SIGNALLED, Stopped

ASKING = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], None]


def end_on_signals() -> None:
    """Make the process print a line and end on a signal. An ignored signal stays ignored."""
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, f"{Stopped(number)}\n".encode())
    finally:
        os._exit(SIGNALLED + number)


def raised_signals() -> contextlib.AbstractContextManager[None]:
    """Make a signal raise `Stopped` in the block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    return _handled(stop)


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list to which the number of the first signal is appended; a second signal raises `Stopped`."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number, "the finished chunks are kept; run the same command to continue")
        received.append(number)

    with _handled(note):
        yield received


@contextlib.contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ASKING}
    for number, former in before.items():
        if former != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
