"""The log: one line of JSON for each invocation, and a traceback for each bug. It never contains the texts of pairs."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator

import orjson

from pairlift.errors import PairliftError
from pairlift.machine import read_peak_memory

MOST_SHOWN = 20  # failures, ignored objects and continued jobs that are listed for an invocation
MOST_CHARACTERS = 500
logger = logging.getLogger(__name__)


class LogEntry:
    """The log entry of an invocation.

    Attributes:
        kind: The kind of request, such as `pairs` or `sqs`; `unknown` until the event is read.
        rows: How many pairs or rows were done.
        rejected: How many of them could not be scored.
        request_id: Lambda's id of the invocation.
    """

    def __init__(self, request_id: str, init_seconds: float | None) -> None:
        """Begin; `init_seconds` is how long the container took to start; None if this is not its first invocation."""
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
        """Measure the time that the block takes."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - started

    def fail(self, error: Exception, where: str = "") -> None:
        """Record a failure; log the traceback if it is a bug."""
        if isinstance(error, PairliftError):
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = f"internal error: {type(error).__name__}"
            logger.error("internal error: this is a bug in pairlift; please report these lines", exc_info=error)
        self._failures.append(printable(f"{where}: {reason}" if where else reason))

    def ignore(self, what: str) -> None:
        """Record an object or event that is ignored."""
        self._ignored.append(printable(what))

    def send_on(self, what: str) -> None:
        """Record a job that another invocation will continue."""
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
    """Return text as one line, shortened, with lone surrogates escaped."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()[:MOST_CHARACTERS]


def flatten(error: PairliftError) -> None:
    """Rewrite an error's message as one line, with lone surrogates escaped."""
    error.args = (" ".join(str(error).split()).encode(errors="backslashreplace").decode(),)
