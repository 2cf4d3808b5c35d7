"""The terms of a job: how it reports progress, and when it must stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from pairlift.encoding.counts import Tally
from pairlift.errors import Stopped, Unfinished
from pairlift.inputs.rejects import MostRejects
from pairlift.jobs.progress import Progress, Step
from pairlift.machine import read_peak_memory
from pairlift.outputs.records import LastRun

MayGoOn = Callable[[int], bool]
KEPT = "fix the input and add --restart, or continue with a higher --max-rejects: the finished chunks are kept"
RUN_AGAIN = "run the same command to continue"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a job. They have no effect on the bytes of its output.

    Attributes:
        progress: Called after each chunk.
        most_rejects: How many rows may be rejected; None for any number.
        may_go_on: See `score_file`.
    """

    progress: Progress | None = None
    most_rejects: MostRejects | None = None
    may_go_on: MayGoOn | None = None

    def tell(self, tally: Tally, rejected: Mapping[str, int], total: int | None, resumed: bool = False) -> None:
        """Report a finished chunk."""
        if self.progress:
            self.progress(Step(rows=tally.rows, rejected=sum(rejected.values()), total=total, resumed=resumed))

    def check_rejects(self, tally: Tally, final: bool, kept: bool) -> None:
        """Raise a `RejectsError` if more rows are rejected than allowed."""
        if self.most_rejects is not None:
            advice = KEPT if kept else "fix the input, or allow more"
            self.most_rejects.check(tally.rejected, tally.rows, advice, final=final)

    def check_time(self, size: int, rows: int, resumed: int) -> None:
        """Raise `Unfinished` if the job may not continue."""
        if self.may_go_on is not None and not self.may_go_on(size):
            raise Unfinished(
                f"out of time after {rows} rows, which are saved; run the same job again to continue",
                rows,
                rows > resumed,
            )


def check_signals(signals: Sequence[int], rows: int) -> None:
    """Raise `Stopped` if the process has received a signal."""
    if signals:
        raise Stopped(signals[0], f"{rows} rows are done; {RUN_AGAIN}")


def measure_run(threads: int, resumed: int, rows: int, started: float) -> LastRun:
    """Return the statistics of a run, given its start by the monotonic clock."""
    seconds = time.monotonic() - started
    return LastRun(
        resumed=resumed,
        seconds=round(seconds, 3),
        rows_per_second=round(rows / max(1e-9, seconds), 1),
        peak_memory=read_peak_memory(),
        threads=threads,
    )
