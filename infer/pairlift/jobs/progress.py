"""Progress: a bar on a terminal, or a line every 30 seconds in a log."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

LINE_SECONDS = 30  # the least time between two lines of a log


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A finished chunk, for a progress report.

    Attributes:
        rows: The number of its rows.
        rejected: The number of rows rejected so far, in all chunks.
        total: The total number of rows. In Parquet it is exact; in other formats it is estimated from the share of the
            file that has been read; None if it is not known.
        resumed: Whether an earlier run finished the chunk.
    """

    rows: int
    rejected: int
    total: int | None
    resumed: bool = False


Progress = Callable[[Step], object]


class Bar:
    """A progress bar on a terminal."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(unit=" rows", dynamic_ncols=True, smoothing=0.1)

    def __call__(self, step: Step) -> None:
        """Show a step."""
        self._bar.total = step.total
        if step.resumed:
            self._bar.initial += step.rows
        if step.rejected:
            self._bar.set_postfix_str(f"{step.rejected} rejected", refresh=False)
        self._bar.update(step.rows)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.leave = False
        self._bar.close()


class Log:
    """A line every 30 seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started = self._said = now()
        self._done = self._scored = 0

    def __call__(self, step: Step) -> None:
        """Print a line, if 30 seconds have passed since the last one."""
        self._done += step.rows
        if not step.resumed:
            self._scored += step.rows
        if self._now() - self._said < LINE_SECONDS:
            return
        self._said = self._now()
        rate = self._scored / max(1e-9, self._said - self._started)
        line = f"{self._done:,} rows"
        if step.total:
            line += f" of about {step.total:,} ({self._done / step.total:.0%})"
        line += f", {step.rejected:,} rejected, {rate:,.0f} rows/s"
        if step.total and rate:
            line += f", about {_spell_time((step.total - self._done) / rate)} left"
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Do nothing: the lines stay in the log."""


def _spell_time(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def make_progress() -> Bar | Log:
    """Return a bar if standard error is a terminal, and otherwise a log."""
    return Bar() if sys.stderr.isatty() else Log()
