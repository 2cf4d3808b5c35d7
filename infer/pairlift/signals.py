"""Signals that ask to end: SIGINT and SIGTERM.

A command ends at once by them, without an exception that could come up in the middle of an import, until it does work that
should come to a good end first (`noted_signals`) or that must be tidied up (`raised_signals`).
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
    """Have the process say a line and end; a signal that is ignored stays ignored."""
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, f"{Stopped(number)}\n".encode())
    finally:
        os._exit(SIGNALLED + number)


def raised_signals() -> contextlib.AbstractContextManager[None]:
    """Have a signal raise `Stopped` in the block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    return _handled(stop)


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list that gets the number of a signal; a second one raises `Stopped`."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number, "the chunks that were done are kept; run the same command to go on")
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
