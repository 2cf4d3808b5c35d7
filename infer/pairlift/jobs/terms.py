"""On what terms a job runs: what it reports, and when it has to stop."""

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
KEPT = "fix the input and add --restart, or run the same command with a higher --max-rejects: what is done is kept"
RUN_AGAIN = "run the same command to go on"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a job runs; none of them decides a byte of its output.

    Attributes:
        progress: Called after each chunk.
        most_rejects: How many rows may be rejected; None for any number.
        may_go_on: As for `score_file`.
    """

    progress: Progress | None = None
    most_rejects: MostRejects | None = None
    may_go_on: MayGoOn | None = None

    def tell(self, tally: Tally, rejected: Mapping[str, int], total: int | None, resumed: bool = False) -> None:
        """Report a chunk."""
        if self.progress:
            self.progress(Step(rows=tally.rows, rejected=sum(rejected.values()), total=total, resumed=resumed))

    def check_rejects(self, tally: Tally, final: bool, kept: bool) -> None:
        """Hold the rejected rows to the bound; a `RejectsError`."""
        if self.most_rejects is not None:
            advice = KEPT if kept else "fix the input, or allow more"
            self.most_rejects.check(tally.rejected, tally.rows, advice, final=final)

    def check_time(self, size: int, rows: int, resumed: int) -> None:
        """Ask whether the job may go on; if not, an `Unfinished`."""
        if self.may_go_on is not None and not self.may_go_on(size):
            raise Unfinished(
                f"out of time after {rows} rows, which are saved; run the same job again to continue",
                rows,
                rows > resumed,
            )


def check_signals(signals: Sequence[int], rows: int) -> None:
    """End a job to which a signal has come; a `Stopped`."""
    if signals:
        raise Stopped(signals[0], f"{rows} rows are done; {RUN_AGAIN}")


def measure_run(threads: int, resumed: int, rows: int, started: float) -> LastRun:
    """Return what a run took that began at a time of the monotonic clock."""
    seconds = time.monotonic() - started
    return LastRun(
        resumed=resumed,
        seconds=round(seconds, 3),
        rows_per_second=round(rows / max(1e-9, seconds), 1),
        peak_memory=read_peak_memory(),
        threads=threads,
    )
