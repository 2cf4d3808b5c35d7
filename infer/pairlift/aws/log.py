"""The log: one line of JSON for each invocation, and a traceback for each bug. Texts of pairs are never in it."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator

import orjson

from pairlift.errors import PairliftError
from pairlift.machine import read_peak_memory

MOST_SHOWN = 20  # failures and ignored objects of an invocation that are listed
MOST_CHARACTERS = 500
logger = logging.getLogger(__name__)


class LogEntry:
    """What is said of an invocation.

    Attributes:
        kind: What asked for it.
        rows: Pairs or rows that were done.
        rejected: Those of them that could not be scored.
        request_id: Lambda's name of the invocation.
    """

    def __init__(self, request_id: str, init_seconds: float | None) -> None:
        """Begin; `init_seconds` is how long the container took to get ready, and None when it was so before."""
        self.kind = "unknown"
        self.rows = self.rejected = 0
        self.request_id = printable(request_id)
        self._started = time.monotonic()
        self._seconds = {} if init_seconds is None else {"init": init_seconds}
        self._cold = init_seconds is not None
        self._failures: list[str] = []
        self._ignored: list[str] = []
        self._continued: list[str] = []

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done in the block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - started

    def fail(self, error: Exception, where: str = "") -> None:
        """Note a failure; a bug with its traceback."""
        if isinstance(error, PairliftError):
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = f"internal error: {type(error).__name__}"
            logger.error("internal error: this is a bug in pairlift; please report these lines", exc_info=error)
        self._failures.append(printable(f"{where}: {reason}" if where else reason))

    def ignore(self, what: str) -> None:
        """Note something that nothing is done about."""
        self._ignored.append(printable(what))

    def send_on(self, what: str) -> None:
        """Note something that another invocation will go on with."""
        self._continued.append(printable(what))

    def write(self) -> None:
        """Write the line."""
        self._seconds["total"] = time.monotonic() - self._started
        line = {
            "pairlift": "invocation",
            "request_id": self.request_id,
            "kind": self.kind,
            "rows": self.rows,
            "rejected": self.rejected,
            "milliseconds": {name: round(1000 * seconds, 1) for name, seconds in self._seconds.items()},
            "cold": self._cold,
            "peak_memory_mb": round(read_peak_memory() / 2**20),
            "failures": self._failures[:MOST_SHOWN],
            "ignored": self._ignored[:MOST_SHOWN],
            "continued": self._continued[:MOST_SHOWN],
        }
        sys.stdout.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE).decode())


def printable(text: str) -> str:
    """Return text as one line that every encoding can hold."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()[:MOST_CHARACTERS]


def flatten(error: PairliftError) -> None:
    """Have an error say its message in one line that can be sent."""
    error.args = (" ".join(str(error).split()).encode(errors="backslashreplace").decode(),)
