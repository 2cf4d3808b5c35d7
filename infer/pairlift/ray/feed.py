"""The work for the workers of a Ray job: the plan, which grows, and its chunks that wait for a worker."""

from __future__ import annotations

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable

from pairlift.inputs.plan import Descriptor, Span, explain_plan
from pairlift.inputs.source import Source
from pairlift.jobs.durable_plan import DurablePlan
from pairlift.names import Key

PLAN_CHUNKS = 64  # chunks planned at a time

Piece = tuple[str, int | None]  # an input, and the gzip member or zstd frame of it in which a chunk begins

log = logging.getLogger(__name__)


class Queue:
    """Chunks that wait, in order. One worker does all chunks that begin in the same compressed piece, in order.

    To reach a chunk of a piece, a worker must read those before it. So the worker that has read them continues with the
    next one, and no other worker does.
    """

    def __init__(self, compressed: bool) -> None:
        self._compressed = compressed
        self._pieces: dict[Piece | None, deque[Descriptor]] = {}
        self._owners: dict[Piece | None, int] = {}
        self._owned: dict[int, Piece | None] = {}
        self._waiting = 0
        self.failures: Counter[Key] = Counter()  # how often a worker died while it did each chunk

    def __len__(self) -> int:
        return self._waiting

    @property
    def free(self) -> int:
        """How many more workers could begin with a chunk now."""
        if not self._compressed:
            return self._waiting
        return len(self._pieces) - sum(piece in self._pieces for piece in self._owners)

    def put(self, chunks: Iterable[Descriptor]) -> None:
        """Add chunks after all others."""
        for chunk in chunks:
            self._pieces.setdefault(self._piece_of(chunk), deque()).append(chunk)
            self._waiting += 1

    def put_back(self, chunks: Iterable[Descriptor]) -> None:
        """Put chunks back, before all others of their pieces."""
        for chunk in reversed(list(chunks)):
            self._pieces.setdefault(self._piece_of(chunk), deque()).appendleft(chunk)
            self._waiting += 1

    def take(self, worker: int, most: int) -> list[Descriptor]:
        """Take the chunks that a worker does next.

        If a worker has died at a chunk, that chunk is handed out alone, to find out which chunk kills workers.
        """
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
        """Let other workers continue the piece that a worker has begun."""
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
    """The plan of a job, which grows. The driver plans a single lot, a little at a time; the workers plan several lots.

    Attributes:
        queue: The chunks that wait for a worker.
        planned: The number of rows in all chunks planned so far.
    """

    def __init__(self, plan: DurablePlan, opened: Source, is_done: Callable[[Descriptor], bool]) -> None:
        """Begin without chunks.

        Args:
            plan: The job's plan.
            opened: The job's source.
            is_done: Returns whether a chunk is already done.
        """
        self.queue = Queue(bool(opened.found.compression))
        self.planned = 0
        self.several = plan.lots > 1
        self._is_done, self._compressed, self._size = is_done, bool(opened.found.compression), opened.size
        self._here = plan.each(0)
        self._open: deque[int] = deque(range(plan.lots))
        self._given = [0] * plan.lots
        self._growing = plan.lots  # lots that are not completely planned
        self._bytes = 0
        self._marks: dict[str, int] = {}
        self._lasts: dict[str, Descriptor] = {}
        self._failures: Counter[int] = Counter()

    @property
    def complete(self) -> bool:
        """Whether all chunks are planned."""
        return not self._growing

    @property
    def total(self) -> int | None:
        """The number of rows; until all are planned, an estimate from the share of bytes planned, or None."""
        if self.complete:
            return self.planned
        return round(self.planned * self._size / self._bytes) if self._bytes else None

    @property
    def unplanned(self) -> int:
        """The number of lots that wait for workers to plan them."""
        return len(self._open) if self.several else 0

    def plan_here(self) -> None:
        """Plan the next chunks of the only lot."""
        chunks = list(itertools.islice(self._here, PLAN_CHUNKS))
        self.add(0, chunks, last=len(chunks) < PLAN_CHUNKS)

    def next_lot(self) -> tuple[int, int] | None:
        """Return the lot that a worker should plan next, and how many of its chunks are already planned; or None."""
        if not self._open:
            return None
        lot = self._open.popleft()
        return lot, self._given[lot]

    def add(self, lot: int, chunks: list[Descriptor], last: bool) -> None:
        """Add the next chunks of a lot.

        Args:
            lot: The lot's number.
            chunks: The chunks, in order.
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
        """Record that a worker died while it planned a lot, and return how often that has happened."""
        self._open.appendleft(lot)
        self._failures[lot] += 1
        return self._failures[lot]

    def put_back(self, lot: int) -> None:
        """Put a lot back, so that another worker plans it."""
        self._open.appendleft(lot)

    def _measure(self, span: Span) -> None:
        """Count the planned bytes of an input. They are unknown for Parquet, but its plan is complete soon."""
        mark = span.place.member if self._compressed else span.end
        if mark is not None:
            self._bytes += mark - self._marks.get(span.input, 0)
            self._marks[span.input] = mark
