"""What the workers of a Ray job are fed with: the plan as it grows, and the chunks of it that wait to be done."""

from __future__ import annotations

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable

from pairlift.inputs.plan import Descriptor, Span, explain_plan
from pairlift.inputs.source import Source
from pairlift.jobs.durable_plan import DurablePlan
from pairlift.names import Key

PLAN_CHUNKS = 64  # planned at a time

Piece = tuple[str, int | None]  # an input, and the gzip member or zstd frame of it in which a chunk begins

log = logging.getLogger(__name__)


class Queue:
    """Chunks that wait, in order. Of those that begin in one compressed piece one worker does one after the other.

    To come to the second of them takes reading the first: who has read that goes on with what follows, and nobody else.
    """

    def __init__(self, compressed: bool) -> None:
        self._compressed = compressed
        self._pieces: dict[Piece | None, deque[Descriptor]] = {}
        self._owners: dict[Piece | None, int] = {}
        self._owned: dict[int, Piece | None] = {}
        self._waiting = 0
        self.failures: Counter[Key] = Counter()  # how often each chunk was at work when a worker died

    def __len__(self) -> int:
        return self._waiting

    @property
    def free(self) -> int:
        """For how many workers more there is something to begin with."""
        if not self._compressed:
            return self._waiting
        return len(self._pieces) - sum(piece in self._pieces for piece in self._owners)

    def put(self, chunks: Iterable[Descriptor]) -> None:
        """Add chunks that come after all others."""
        for chunk in chunks:
            self._pieces.setdefault(self._piece_of(chunk), deque()).append(chunk)
            self._waiting += 1

    def put_back(self, chunks: Iterable[Descriptor]) -> None:
        """Add chunks again that come before all others of their pieces."""
        for chunk in reversed(list(chunks)):
            self._pieces.setdefault(self._piece_of(chunk), deque()).appendleft(chunk)
            self._waiting += 1

    def take(self, worker: int, most: int) -> list[Descriptor]:
        """Take the chunks that a worker does next; one alone if a worker has died at it: so it is found which one kills them."""
        taken: list[Descriptor] = []
        while len(taken) < most and (found := self._choose(worker)) is not None:
            piece, chunks = found
            alone = self.failures[chunks[0].key] > 0
            if alone and taken:
                break
            taken.append(chunks.popleft())
            if not chunks:
                del self._pieces[piece]
            if self._compressed:
                self.release(worker)
                self._owners[piece], self._owned[worker] = worker, piece
            if alone:
                break
        self._waiting -= len(taken)
        return taken

    def release(self, worker: int) -> None:
        """Let others go on with what a worker has begun."""
        if worker in self._owned:
            del self._owners[self._owned.pop(worker)]

    def _choose(self, worker: int) -> tuple[Piece | None, deque[Descriptor]] | None:
        own = self._owned.get(worker)
        if own in self._pieces:
            return own, self._pieces[own]
        return next(((piece, chunks) for piece, chunks in self._pieces.items() if piece not in self._owners), None)

    def _piece_of(self, chunk: Descriptor) -> Piece | None:
        return (chunk.spans[0].input, chunk.spans[0].place.member) if self._compressed else None


class Feed:
    """The plan of a job as it grows. That of one lot is made here, a little at a time; those of several lots by the workers.

    Attributes:
        queue: The chunks that wait.
        planned: Rows of all chunks that are known.
    """

    def __init__(self, plan: DurablePlan, opened: Source, is_done: Callable[[Descriptor], bool]) -> None:
        """Begin with no chunk.

        Args:
            plan: The job's plan.
            opened: The source.
            is_done: Whether nothing needs to be done for a chunk.
        """
        self.queue = Queue(bool(opened.found.compression))
        self.planned = 0
        self.several = plan.lots > 1
        self._is_done, self._compressed, self._size = is_done, bool(opened.found.compression), opened.size
        self._here = plan.each(0)
        self._open: deque[int] = deque(range(plan.lots))
        self._given = [0] * plan.lots
        self._growing = plan.lots  # lots that are not known to their end
        self._bytes = 0
        self._marks: dict[str, int] = {}
        self._lasts: dict[str, Descriptor] = {}
        self._failures: Counter[int] = Counter()

    @property
    def complete(self) -> bool:
        """Whether all chunks are known."""
        return not self._growing

    @property
    def total(self) -> int | None:
        """How many rows there are; until all are known, an estimate by the share of the bytes, or None."""
        if self.complete:
            return self.planned
        return round(self.planned * self._size / self._bytes) if self._bytes else None

    @property
    def unplanned(self) -> int:
        """How many lots wait for workers to plan them."""
        return len(self._open) if self.several else 0

    def plan_here(self) -> None:
        """Go a little further with the plan of the only lot."""
        chunks = list(itertools.islice(self._here, PLAN_CHUNKS))
        self.add(0, chunks, last=len(chunks) < PLAN_CHUNKS)

    def next_lot(self) -> tuple[int, int] | None:
        """Return the number of a lot that a worker should plan now and how many of its chunks are known, or None."""
        if not self._open:
            return None
        lot = self._open.popleft()
        return lot, self._given[lot]

    def add(self, lot: int, chunks: list[Descriptor], last: bool) -> None:
        """Take note of the next chunks of a lot.

        Args:
            lot: Its number.
            chunks: In order.
            last: Whether the lot ends with them.
        """
        self._given[lot] += len(chunks)
        for chunk in chunks:
            self.planned += chunk.rows
            self._lasts[chunk.spans[-1].input] = chunk
            for span in chunk.spans:
                self._measure(span)
        self.queue.put(chunk for chunk in chunks if not self._is_done(chunk))
        self._growing -= last
        if self.several and not last:
            self._open.appendleft(lot)
        advice = explain_plan(list(self._lasts.values())) if self.complete else None
        if advice:
            log.warning(advice)

    def fail(self, lot: int) -> int:
        """Take note that a worker has died while it planned a lot, and return how often that has happened."""
        self._open.appendleft(lot)
        self._failures[lot] += 1
        return self._failures[lot]

    def put_back(self, lot: int) -> None:
        """Have a lot planned by somebody else."""
        self._open.appendleft(lot)

    def _measure(self, span: Span) -> None:
        """Count the bytes of an input that are planned; of Parquet they are not known, and its plan is soon complete."""
        mark = span.place.member if self._compressed else span.end
        if mark is not None:
            self._bytes += mark - self._marks.get(span.input, 0)
            self._marks[span.input] = mark
