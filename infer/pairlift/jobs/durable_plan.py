"""The plan of a shared job, stored beside its receipts. The first process that needs it makes it, piece by piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import orjson

from pairlift import record
from pairlift.formats import Format
from pairlift.inputs.names import cut_lots
from pairlift.inputs.plan import Descriptor, plan_inputs
from pairlift.names import Key
from pairlift.outputs.keeper import Keeper
from pairlift.storage.stamp import Input

PIECE_CHUNKS = 64
STOPPED = object()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanPiece:
    """Consecutive chunks of a lot; `last` says whether they are the last ones of the lot."""

    format: int = 3
    chunks: tuple[Descriptor, ...]
    last: bool


Planner = Callable[[Key], Iterator[Descriptor]]


@dataclasses.dataclass(slots=True)
class _Known:
    chunks: list[Descriptor] = dataclasses.field(default_factory=list)
    pieces: int = 0
    complete: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class InputPlanner:
    """Plans the lots of inputs; can be sent to another process.

    Attributes:
        inputs: The inputs in order, by names that are valid in any process.
        found: Their format.
        chunk_rows: Rows per chunk.
    """

    inputs: tuple[Input, ...]
    found: Format
    chunk_rows: int

    def __call__(self, after: Key) -> Iterator[Descriptor]:
        """Yield the chunks of a lot that follow a given one."""
        return plan_inputs(self.inputs, self.found, self.chunk_rows, after, after.lot + 1)


def open_plan(keeper: Keeper, inputs: tuple[Input, ...], found: Format, chunk_rows: int) -> DurablePlan:
    """Return the plan of a job; for the arguments see `DurablePlan` and `InputPlanner`."""
    return DurablePlan(keeper, len(cut_lots(inputs)), InputPlanner(inputs, found, chunk_rows))


class DurablePlan:
    """The chunks of a job's lots. Each piece is written once; a process that finds a piece uses it."""

    def __init__(self, keeper: Keeper, lots: int, planner: Planner) -> None:
        """Open the plan of a job; nothing is read yet.

        Args:
            keeper: The job's keeper.
            lots: The number of its lots.
            planner: Makes the plan of a lot.
        """
        self._keeper, self._planner = keeper, planner
        self._lots = [_Known() for _ in range(lots)]

    @property
    def lots(self) -> int:
        """The number of lots."""
        return len(self._lots)

    @property
    def complete(self) -> bool:
        """Whether all chunks are known."""
        return all(lot.complete for lot in self._lots)

    @property
    def chunks(self) -> list[Descriptor]:
        """The known chunks, in order."""
        return [chunk for lot in self._lots for chunk in lot.chunks]

    def update(self) -> bool:
        """Read what other processes have added, and return whether they have added anything."""
        before = sum(lot.pieces for lot in self._lots)
        for number in range(self.lots):
            while self._read(number):
                pass
        return sum(lot.pieces for lot in self._lots) > before

    def finish(self) -> Iterator[Descriptor]:
        """Yield all chunks, and make the missing pieces."""
        for number in range(self.lots):
            yield from self.each(number)

    def each(self, number: int) -> Iterator[Descriptor]:
        """Yield the chunks of a lot, and make the missing ones piece by piece."""
        lot, given = self._lots[number], 0
        making: Iterator[None] | None = None
        while True:
            while given < len(lot.chunks):
                yield lot.chunks[given]
                given += 1
            if lot.complete:
                return
            if making is None and not self._read(number):
                making = self._make(number)
            if making is not None and next(making, STOPPED) is STOPPED:
                making = None

    def _read(self, number: int) -> bool:
        """Read the next piece of a lot, if it exists."""
        lot, keeper = self._lots[number], self._keeper
        if lot.complete:
            return False
        name = keeper.names.plan(keeper.mark, number, lot.pieces)
        data = keeper.store.read(name)
        if data is None:
            return False
        piece = record.load(PlanPiece, data, keeper.store.root + name)
        lot.chunks += piece.chunks
        lot.pieces, lot.complete = lot.pieces + 1, piece.last
        return True

    def _make(self, number: int) -> Iterator[None]:
        """Make the rest of a lot's plan, and yield after each piece; end if another process has written the piece."""
        lot = self._lots[number]
        after = lot.chunks[-1].key if lot.chunks else Key(number, -1)
        piece: list[Descriptor] = []
        for chunk in self._planner(after):
            if len(piece) == PIECE_CHUNKS:
                if not self._write(number, piece, last=False):
                    return
                piece = []
                yield
            piece.append(chunk)
        self._write(number, piece, last=True)

    def _write(self, number: int, chunks: list[Descriptor], last: bool) -> bool:
        lot, keeper = self._lots[number], self._keeper
        name = keeper.names.plan(keeper.mark, number, lot.pieces)
        piece = PlanPiece(chunks=tuple(chunks), last=last)
        if keeper.store.create(name, orjson.dumps(piece, option=orjson.OPT_SORT_KEYS), keeper.mark) is None:
            return False
        lot.chunks += chunks
        lot.pieces, lot.complete = lot.pieces + 1, last
        return True
