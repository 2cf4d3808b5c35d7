"""The plan of a job: its chunks as descriptors. Each says where its rows are, so that any machine can score them.

Planning takes one pass over the inputs. In text it only looks for the ends of rows; in CSV it also parses a row with an
open quote, because the quote may hide an end. In Parquet it reads only the footer.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from pairlift.errors import ChangedError, EmptyError, UsageError
from pairlift.formats import PARQUET, Format, check_alike, format_of, open_reader, reopen
from pairlift.formats.delimited import DelimitedReader
from pairlift.formats.jsonl import JsonlReader
from pairlift.formats.members import MemberStream
from pairlift.formats.row import Place, Reader, Row
from pairlift.formats.row import Span as RowSpan
from pairlift.inputs.names import cut_lots, stamp_inputs
from pairlift.inputs.reopen import check_stamp
from pairlift.inputs.rows import CHUNK_ROWS, take_windows
from pairlift.names import Key
from pairlift.storage.open import STREAM, open_input
from pairlift.storage.stamp import Input, Stamp, read_stamp

BUFFER = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Consecutive rows of one input.

    Attributes:
        input: The input's name.
        stamp: The input's stamp.
        place: The position of the first row.
        rows: The number of rows.
        end: The uncompressed offset after the last row; None in Parquet.
    """

    input: str
    stamp: Stamp
    place: Place
    rows: int
    end: int | None

    @property
    def of(self) -> Input:
        """The input."""
        return Input(name=self.input, stamp=self.stamp)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A chunk of a job; in Parquet, rows that make one chunk, or several if the rows are large.

    Attributes:
        lot: The number of its lot in the job.
        row: The number of its first row in the lot.
        spans: Where its rows are.
    """

    format: int = 3
    lot: int
    row: int
    spans: tuple[Span, ...]

    @property
    def key(self) -> Key:
        """The chunk's name."""
        return Key(self.lot, self.row)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(span.rows for span in self.spans)


@dataclasses.dataclass(slots=True)
class _Piece:
    """An input that is being planned. Its rows end where those of the next input begin."""

    of: Input
    begin: int  # the number of its first row in the lot
    members: MemberStream | None


def plan_files(names: Sequence[str], quoting: str | None = None, chunk_rows: int = CHUNK_ROWS) -> Iterator[Descriptor]:
    """Yield the chunks of a job's inputs, in order.

    Args:
        names: The inputs, as `find_inputs` returns them.
        quoting: The option `--quoting`.
        chunk_rows: Rows per chunk.

    Raises:
        UsageError: An input is standard input, or has an unsupported extension.
        InputError: An input cannot be read, or has other columns than the first.
    """
    if STREAM in names:
        raise UsageError(
            "standard input can only be read once, so it cannot be split between workers; give a file or an s3:// object"
        )
    found = format_of(names[0], None, quoting)
    with open_input(names[0]) as file:
        inputs = stamp_inputs(names, read_stamp(file))
    yield from plan_inputs(inputs, found, chunk_rows)


def plan_inputs(
    inputs: Sequence[Input], found: Format, chunk_rows: int, after: Key | None = None, until: int | None = None
) -> Iterator[Descriptor]:
    """Yield the chunks of inputs of one format. Raises what `plan_files` raises.

    Args:
        inputs: The inputs, in order.
        found: Their format.
        chunk_rows: Rows per chunk.
        after: Skip this chunk and those before it; None to skip none.
        until: Stop before the lot with this number; None for all lots.
    """
    plan, after = _Plan(inputs, found, chunk_rows), after or Key(0, -1)
    for number, lot in list(enumerate(cut_lots(inputs)))[after.lot : until]:
        chunks = plan.cut_table(number, lot) if found.kind == PARQUET else plan.cut_text(number, lot)
        yield from (chunk for chunk in chunks if chunk.key > after)


class _Plan:
    def __init__(self, inputs: Sequence[Input], found: Format, chunk_rows: int) -> None:
        self._inputs, self._found, self._chunk_rows = inputs, found, chunk_rows
        self._leader: Reader | None = None

    def cut_text(self, number: int, lot: tuple[Input, ...]) -> Iterator[Descriptor]:
        """Yield the chunks of a lot of text files."""
        pieces: list[_Piece] = []
        rows, first = self._scan(lot, pieces), 0
        while windows := list(take_windows(rows, first, self._chunk_rows)):
            flat = windows[0] if len(windows) == 1 else list(itertools.chain.from_iterable(windows))
            while len(pieces) > 1 and pieces[1].begin <= first:
                del pieces[0]
            spans = []
            for i, piece in enumerate(pieces):
                begin = max(0, piece.begin - first)
                end = min(len(flat), pieces[i + 1].begin - first) if i + 1 < len(pieces) else len(flat)
                if begin < end:
                    spans.append(_describe(piece, flat[begin], flat[end - 1], end - begin))
            yield Descriptor(lot=number, row=first, spans=tuple(spans))
            first += len(flat)

    def cut_table(self, number: int, lot: tuple[Input, ...]) -> Iterator[Descriptor]:
        """Yield the chunks of a lot of Parquet files."""
        row, spans, room = 0, list[Span](), self._chunk_rows
        for each in lot:
            with self._open(each) as (_, reader):
                left = (reader.count or 0) if reader else 0
            begin = 0
            while left:
                taken = min(left, room)
                spans.append(Span(input=each.name, stamp=each.stamp, place=Place(row=begin), rows=taken, end=None))
                begin, left, room = begin + taken, left - taken, room - taken
                if not room:
                    yield Descriptor(lot=number, row=row, spans=tuple(spans))
                    row, spans, room = row + self._chunk_rows, [], self._chunk_rows
        if spans:
            yield Descriptor(lot=number, row=row, spans=tuple(spans))

    def _scan(self, lot: tuple[Input, ...], pieces: list[_Piece]) -> Iterator[Row | RowSpan]:
        taken = 0
        for each in lot:
            with self._open(each) as (members, reader):
                if not isinstance(reader, JsonlReader | DelimitedReader):
                    continue
                pieces.append(_Piece(each, taken, members))
                for row in reader.spans():
                    taken += 1
                    yield row

    def _open(self, each: Input) -> _Opened:
        return _Opened(self, each)

    def read(self, file: BinaryIO, each: Input) -> tuple[MemberStream | None, Reader | None]:
        """Return the members of an opened input, if it is compressed, and its reader, or None for an empty input."""
        found = self._found
        check_stamp(read_stamp(file), each)
        members = MemberStream(file, found.compression, each.name) if found.compression else None
        stream = cast("BinaryIO", io.BufferedReader(members, BUFFER)) if members else file
        try:
            reader = open_reader(stream, each.name, dataclasses.replace(found, compression=""))
        except EmptyError:
            if len(self._inputs) == 1:
                raise
            return members, None
        self._leader = self._leader or reader
        check_alike(reader, self._leader, each.name, self._inputs[0].name)
        return members, reader


class _Opened:
    """A context manager that opens an input while it is planned."""

    def __init__(self, plan: _Plan, each: Input) -> None:
        self._plan, self._each = plan, each

    def __enter__(self) -> tuple[MemberStream | None, Reader | None]:
        self._file = open_input(self._each.name)
        try:
            return self._plan.read(self._file, self._each)
        except BaseException:
            self._file.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _describe(piece: _Piece, head: Row | RowSpan, last: Row | RowSpan, count: int) -> Span:
    place = Place(row=head.number, line=head.line, start=head.start)
    if piece.members is not None and head.start is not None:
        member, skip = piece.members.find(head.start)
        place = dataclasses.replace(place, member=member, skip=skip)
    return Span(input=piece.of.name, stamp=piece.of.stamp, place=place, rows=count, end=last.end)


def explain_plan(lasts: Sequence[Descriptor]) -> str | None:
    """Return a warning if compressed inputs cannot be split, or None. It takes the last chunk of each input."""
    spans = [descriptor.spans[-1] for descriptor in lasts]
    pieces = [s.input for s in spans if format_of(s.input).compression and s.place.row and not s.place.member]
    if not pieces:
        return None
    advice = "from the beginning; an output of pairlift can be split, with one piece for each chunk"
    if len(pieces) == 1:
        return f"{pieces[0]}: is one compressed piece and cannot be split, so one worker reads all of it, {advice}"
    others = f"{len(pieces) - 1} other inputs"
    return f"{pieces[0]}: and {others} are one compressed piece each and cannot be split, so one worker reads each, {advice}"


def read_from(reader: Reader, file: BinaryIO, found: Format, span: Span) -> Iterator[Row]:
    """Return the rows of an input, from the first row of a span onwards.

    Args:
        reader: The input's reader, as `open_reader` returns it.
        file: The input.
        found: Its format.
        span: The span.
    """
    if found.kind == PARQUET:
        reader.move(file, span.place)
    else:
        reader.move(reopen(file, found, span.input, span.place), span.place)
    return iter(reader)


def take_planned(rows: Iterator[Row], span: Span) -> Iterator[Row]:
    """Yield the rows of a span from rows that begin there. Raises a `ChangedError` if they do not match the plan."""
    last: Row | None = None
    for _ in range(span.rows):
        row = next(rows, None)
        if row is None:
            break
        last = row
        yield row
    taken = 0 if last is None else last.number + 1 - span.place.row
    if taken != span.rows or (last is not None and last.end != span.end):
        raise ChangedError(
            f"{span.input}: the rows from {span.place.row} onwards are not where the plan says; make a new plan"
        )
