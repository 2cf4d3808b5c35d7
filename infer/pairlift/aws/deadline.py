"""The deadline of an invocation: whether there is time for more work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from pairlift.jobs.progress import Step

# Kept for what follows the work: sending a message, which takes at most 4 seconds (queue.py), and writing the log.
RESERVE_SECONDS = 5.0
# A commit cannot be resumed: if it runs out of time, it starts again from its first byte. So the assumed speed is far
# below what Lambda and S3 achieve.
COMMIT_BYTES_PER_SECOND = 10e6


class Deadline:
    """The time left to an invocation, and the work done in it.

    Attributes:
        rows: How many rows were done in this invocation.
        rejected: How many of them were rejected.
    """

    def __init__(self, remaining: Callable[[], float], now: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            remaining: Returns the seconds that are left.
            now: Returns the time in seconds.
        """
        self.rows = self.rejected = 0
        self._remaining = remaining
        self._now = now
        self._since = now()
        self._longest = 0.0
        self._rejected_before = 0
        self._jobs = 0

    @property
    def first(self) -> bool:
        """Whether no job has begun yet, so that the next one can use the whole invocation."""
        return not self._jobs

    def may_begin(self) -> bool:
        """Whether another job may begin; the first always may, since another invocation would not have more time."""
        return self.first or self._is_time(0)

    def begin_job(self) -> None:
        """Record that a job begins."""
        self._jobs += 1
        self._since = self._now()
        self._rejected_before = 0

    def note(self, step: Step) -> None:
        """Record that a chunk is done; passed as the `progress` of a job."""
        if not step.resumed:
            self._measure()
            self.rows += step.rows
            self.rejected += max(0, step.rejected - self._rejected_before)
        self._rejected_before = step.rejected
        self._since = self._now()

    def may_go_on(self, size: int) -> bool:
        """Whether there is time for another chunk (size 0), or for a commit of `size` bytes."""
        if not size:
            self._measure()
        return self._is_time(size)

    def _measure(self) -> None:
        now = self._now()
        self._longest, self._since = max(self._longest, now - self._since), now

    def _is_time(self, size: int) -> bool:
        needed = RESERVE_SECONDS + size / COMMIT_BYTES_PER_SECOND if size else max(RESERVE_SECONDS, 2 * self._longest)
        return self._remaining() > needed


def open_deadline(context: Any) -> Deadline:
    """Return the deadline from an invocation's context; without a context, as in a manual call, time is unlimited."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return Deadline((lambda: remaining() / 1000) if remaining else lambda: math.inf)
