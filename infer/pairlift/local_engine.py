"""The local engine: a job's chunks, one after the other, in this process."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping

from pairlift.chunk import digest_rows, score_chunks
from pairlift.commit import LastRun
from pairlift.counts import Tally
from pairlift.destination import Work
from pairlift.errors import ChangedError, Stopped, Unfinished
from pairlift.formats import STREAM
from pairlift.machine import read_peak_memory
from pairlift.progress import Progress, Step
from pairlift.rejects import MostRejects
from pairlift.scorer import Scorer
from pairlift.signals import noted_signals
from pairlift.source import Source

MayGoOn = Callable[[int], bool]
KEPT = "mend the input and add --restart, or run the same command with a higher --max-rejects: what is done is kept"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a job runs; none of them decides a byte of its output but `raw`, which its identity has.

    Attributes:
        progress: Called after each chunk.
        most_rejects: How many rows may be rejected; None for any number.
        raw: Whether rejected records are kept.
        may_go_on: As for `score_file`.
    """

    progress: Progress | None = None
    most_rejects: MostRejects | None = None
    raw: bool = True
    may_go_on: MayGoOn | None = None

    def tell(self, tally: Tally, rejected: Mapping[str, int], total: int | None, resumed: bool = False) -> None:
        """Report a chunk."""
        if self.progress:
            self.progress(Step(rows=tally.rows, rejected=sum(rejected.values()), total=total, resumed=resumed))

    def check_rejects(self, tally: Tally, final: bool, kept: bool) -> None:
        """Hold the rejected rows to the bound; a `RejectsError`."""
        if self.most_rejects is not None:
            advice = KEPT if kept else "mend the input, or allow more"
            self.most_rejects.check(tally.rejected, tally.rows, advice, final=final)

    def check_time(self, size: int, rows: int, resumed: int) -> None:
        """Ask whether the job may go on; if not, an `Unfinished`."""
        if self.may_go_on is not None and not self.may_go_on(size):
            raise Unfinished(
                f"the time is over and {rows} rows are done, which are kept; run the same job to go on",
                rows,
                rows > resumed,
            )


def run_here(scorer: Scorer, opened: Source, work: Work, terms: Terms) -> LastRun:
    """Do the chunks that are not done, and return how long that took.

    Raises:
        ChangedError: The rows that are done are not what they were.
        RejectsError, Stopped, Unfinished: As `score_file`.
    """
    rows, rejected = opened.take(), Counter[str]()
    for entry in work.entries:
        head = list(itertools.islice(rows, entry.tally.rows))
        if len(head) != entry.tally.rows or digest_rows(head) != entry.source:
            raise ChangedError(
                f"{opened.name}: the rows from {opened.taken - len(head)} on are not what they were when the job began; "
                "bring the old file back, or --restart to begin again"
            )
        rejected.update(entry.tally.rejected)
        terms.tell(entry.tally, rejected, opened.total(), resumed=True)
    resumed, started, kept = opened.taken, time.monotonic(), opened.name != STREAM
    with noted_signals() as signals:
        chunks = score_chunks(scorer, rows, work.tally.rows, opened.shown, opened.columns, opened.writer, terms.raw)
        for chunk in chunks:
            entry = work.keeper.keep(chunk, opened.writer)
            work.note(entry)
            rejected.update(entry.tally.rejected)
            terms.tell(entry.tally, rejected, opened.total())
            terms.check_rejects(work.tally, final=False, kept=kept)
            if signals:
                raise Stopped(signals[0], f"{work.tally.rows} rows are done; run the same command to go on")
            terms.check_time(0, work.tally.rows, resumed)
    terms.check_rejects(work.tally, final=True, kept=kept)
    if work.tally.rows > resumed:
        terms.check_time(work.size(), work.tally.rows, resumed)
    return measure_run(scorer.threads, resumed, work.tally.rows - resumed, started)


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
