"""Signals: noted while work is done that should come to a good end first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from pairlift.errors import Stopped


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list that gets the number of a signal that asks to end; a second one ends at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number, "the chunks that were done are kept; run the same command to go on")
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
