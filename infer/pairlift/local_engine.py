"""The local engine: a job's chunks, one after the other, in this process."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from pairlift.chunk import digest_rows, score_chunks
from pairlift.commit import LastRun
from pairlift.counts import Tally
from pairlift.destination import Work
from pairlift.errors import ChangedError, Stopped, Unfinished
from pairlift.formats import STREAM, Row
from pairlift.journal import Entry
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
        InputError: An input cannot be read, is not what it was, or has other columns than the first.
        RejectsError, Stopped, Unfinished: As `score_file`.
    """
    opened.check_headers()
    rejected, resumed = Counter[str](), work.tally.rows
    done, kept, started = deque(work.entries), opened.name != STREAM, time.monotonic()
    with noted_signals() as signals:
        for shown, rows in opened.each():
            before = opened.taken
            for tally in _pass_over(rows, done, opened):
                rejected.update(tally.rejected)
                terms.tell(tally, rejected, opened.total(), resumed=True)
                started = time.monotonic()
                _check_signals(signals, work)
            first = opened.taken - before
            chunks = score_chunks(scorer, rows, first, shown, opened.columns, opened.writer, terms.raw, before)
            for chunk in chunks:
                entry = work.keeper.keep(chunk, opened.writer)
                work.note(entry)
                rejected.update(entry.tally.rejected)
                terms.tell(entry.tally, rejected, opened.total())
                terms.check_rejects(work.tally, final=False, kept=kept)
                _check_signals(signals, work)
                terms.check_time(0, work.tally.rows, resumed)
    if done:
        raise _changed(opened, done[0].first)
    terms.check_rejects(work.tally, final=True, kept=kept)
    if work.tally.rows > resumed:
        terms.check_time(work.size(), work.tally.rows, resumed)
    return measure_run(scorer.threads, resumed, work.tally.rows - resumed, started)


def _pass_over(rows: Iterator[Row], done: deque[Entry], opened: Source) -> Iterator[Tally]:
    """Take the rows of an input that are done, held to what they were, and yield what became of them, chunk by chunk.

    Args:
        rows: Of the input.
        done: The chunks that are done, from this input's first one on; this input's are taken away.
        opened: The source.
    """
    while done:
        entry, first = done[0], opened.taken
        head = list(itertools.islice(rows, entry.tally.rows))
        if not head:
            return
        if entry.first != first or len(head) != entry.tally.rows or digest_rows(head) != entry.source:
            raise _changed(opened, first)
        yield done.popleft().tally


def _check_signals(signals: Sequence[int], work: Work) -> None:
    if signals:
        raise Stopped(signals[0], f"{work.tally.rows} rows are done; run the same command to go on")


def _changed(opened: Source, first: int) -> ChangedError:
    return ChangedError(
        f"{opened.name}: the rows from {first} on are not what they were when the job began; bring the old file back, or --restart "
        "to begin again"
    )


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
