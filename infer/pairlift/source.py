"""The source of a job: its opened inputs, where their texts are, and the writer that their columns ask for."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from pairlift import formats
from pairlift.errors import EmptyError, InputError, RowError, UsageError
from pairlift.fields import check_columns, map_fields
from pairlift.formats import STREAM, Columns, Format, Reader, Row, Writer
from pairlift.inputs import Input, common_folder, cut_lots, describe_change, shown_name
from pairlift.options import JobOptions
from pairlift.rows import CHUNK_BYTES, RowStream, read_pair, take_rows
from pairlift.scorer import Scorer
from pairlift.storage import Stamp, is_remote, read_stamp


@dataclasses.dataclass(slots=True, kw_only=True)
class Source:
    """The opened inputs of a job; each is opened in its turn, and the first from the beginning on.

    Attributes:
        inputs: In order.
        leaders: Those that have been looked at for what the output looks like: the first, and others only where it has no columns.
        size: Bytes, of all.
        input: The one that is being read.
        file: Its bytes.
        reader: Its reader.
        rows: The rows of the first, to be taken once.
        columns: The column of each field.
        writer: The writer of the output.
        found, written: The formats of the inputs and of the output.
        options: The job's options.
        taken: How many rows have been read.
    """

    inputs: tuple[Input, ...]
    leaders: tuple[Input, ...]
    size: int
    input: Input
    file: BinaryIO
    reader: Reader
    rows: Iterator[Row]
    columns: Mapping[str, str]
    writer: Writer
    found: Format
    written: Format
    options: JobOptions
    taken: int = 0
    _passed_rows: int = 0
    _passed_bytes: int = 0
    _first: Reader = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._first = self.reader

    @property
    def name(self) -> str:
        """The input that is being read, as the user named it."""
        return self.input.name

    @property
    def folder(self) -> str:
        """The folder that all inputs are in, which their names in the rejects are without."""
        return common_folder([each.name for each in self.inputs])

    def lots(self) -> Iterator[RowStream]:
        """Yield the rows of each lot; all of one must be taken before the next.

        Raises:
            InputError: An input cannot be read, is not what it was when the job began, or has other columns than the first.
        """
        folder = self.folder
        for lot in cut_lots(self.inputs):
            begun: list[tuple[int, str]] = []
            yield RowStream(self._read(lot, begun, folder), begun)

    def _read(self, lot: Sequence[Input], begun: list[tuple[int, str]], folder: str) -> Iterator[Row]:
        before = self.taken
        for each in lot:
            begun.append((self.taken - before, shown_name(each.name, folder)))
            if each is self.inputs[0]:
                yield from self._count(self.rows)
                continue
            self._passed_rows, self._passed_bytes = self.taken, self._passed_bytes + self.input.stamp.size
            with _open_other(each, self.found) as (file, reader):
                self.input = each
                if reader is not None:
                    formats.check_alike(reader, self._first, each.name, self.inputs[0].name)
                    self.file, self.reader = file, reader
                    yield from self._count(iter(reader))

    def check_headers(self) -> None:
        """Hold files to the columns of the first before anything is done; of objects each would have to be fetched.

        Raises:
            InputError: One has others, or cannot be read.
        """
        for each in self.inputs[1:] if self.reader.columns is not None else ():
            if not is_remote(each.name):
                with _open_other(each, self.found) as (_, reader):
                    if reader is not None:
                        formats.check_alike(reader, self.reader, each.name, self.inputs[0].name)

    def _count(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.taken += 1
            yield row

    def total(self) -> int | None:
        """Return how many rows there are, or an estimate by the share of the bytes that is read, or None."""
        if self.name == STREAM:
            return None
        if self.reader.count is not None:
            rows, read = self._passed_rows + self.reader.count, self._passed_bytes + self.input.stamp.size
        else:
            here = self.input.stamp.size if self.file.closed else self.file.tell()
            rows, read = self.taken, self._passed_bytes + here
        return max(self.taken, round(rows * self.size / max(1, read)))


def open_again(each: Input) -> BinaryIO:
    """Open an input that was there when the job began; an `InputError`, after which what is done is kept."""
    try:
        return formats.open_input(each.name)
    except InputError as error:
        raise InputError(str(error), passing=True) from error


@contextlib.contextmanager
def _open_other(each: Input, found: Format) -> Iterator[tuple[BinaryIO, Reader | None]]:
    """Open an input after the first, and its reader, which is None where it is empty; errors as `open_again` and `check_stamp`."""
    with open_again(each) as file:
        check_stamp(read_stamp(file), each)
        try:
            reader = formats.open_reader(file, each.name, found)
        except EmptyError:
            reader = None
        yield file, reader


def check_stamp(found: Stamp, expected: Input) -> None:
    """Hold what an input is known by now to what it was when the job began; an `InputError`."""
    if found != expected.stamp:
        raise InputError(
            f"{expected.name}: changed while it was read ({describe_change(expected.stamp, found)}); run again when it is complete"
        )


def open_source(
    scorer: Scorer, file: BinaryIO, inputs: tuple[Input, ...], found: Format, written: Format, options: JobOptions
) -> Source:
    """Open the rows of the first input and decide what the output looks like.

    Args:
        scorer: Whose labels are added.
        file: The first input's bytes.
        inputs: In order; each stamp was taken before anything was read.
        found: The inputs' format.
        written: The output's format.
        options: The job's options.

    Raises:
        UsageError: A column is missing, taken or stands twice.
        InputError: The input cannot be read.
    """
    name = inputs[0].name
    reader = formats.open_reader(file, name, found)
    columns = map_fields(options.fields, scorer.bundle.manifest.fields)
    added = ("prediction", *(f"p_{label}" for label in scorer.labels))
    rows, first, given, leaders = iter(reader), list[Row](), reader.columns, inputs[:1]
    if given is not None:
        check_columns(given, columns, name)
        reader.check_texts(columns.values())
        taken = next((column for column in added if column in given), None)
        if taken:
            raise UsageError(f"{name}: has a column {taken!r} already, which the scores need; rename it in the input")
    else:
        keyless = written.kind == ".jsonl"  # each object keeps its own keys, so the first good row tells enough
        kept = _take_first(rows, keyless, options.chunk_rows)
        beyond = None if keyless else next(rows, None)
        looked = [(name, row) for row in kept]
        if not keyless and beyond is None:
            ahead, leaders = _look_ahead(inputs, found, options.chunk_rows - len(kept))
            looked += ahead
        good = next(((at, row) for at, row in looked if row.error is None), None)
        if good:
            check_columns(tuple(good[1].values), columns, f"{good[0]}:{good[1].line}")
        first = [row for _, row in looked if _is_scorable(row, columns)]
        if not keyless:
            given = tuple(key for key in dict.fromkeys(k for row in first for k in row.values) if key not in added)
            if not first and (beyond is not None or len(leaders) < len(inputs)):
                raise InputError(
                    f"{name}: none of the first {len(looked)} rows can be scored ({looked[0][1].error or 'no texts'}), so the columns "
                    "of the output are not known; fix the input, or write JSONL"
                )
        rows = itertools.chain(kept, [] if beyond is None else [beyond], rows)
    writer = formats.make_writer(written, Columns(given=given, added=added), reader, first)
    return Source(
        inputs=inputs, leaders=leaders, size=sum(each.stamp.size for each in inputs), input=inputs[0], file=file,
        reader=reader, rows=rows, columns=columns, writer=writer, found=found, written=written, options=options,
    )  # fmt: skip


def _take_first(rows: Iterator[Row], one_is_enough: bool, most: int) -> list[Row]:
    if not one_is_enough:
        return take_rows(rows, most, CHUNK_BYTES)[0]
    first, size = take_rows(rows, 1, CHUNK_BYTES)
    while first and first[-1].error is not None and len(first) < most and size < CHUNK_BYTES:
        taken, more = take_rows(rows, 1, CHUNK_BYTES)
        if not taken:
            break
        first, size = first + taken, size + more
    return first


def _look_ahead(inputs: tuple[Input, ...], found: Format, most: int) -> tuple[list[tuple[str, Row]], tuple[Input, ...]]:
    """Return rows of the inputs after the first, at most so many, each with its input's name, and the inputs that have been
    looked at, the first included.
    """
    rows, size = list[tuple[str, Row]](), 0
    for i, each in enumerate(inputs[1:], 1):
        if len(rows) >= most or size >= CHUNK_BYTES:
            return rows, inputs[:i]
        with _open_other(each, found) as (_, reader):
            taken, more = take_rows(iter(reader or ()), most - len(rows), CHUNK_BYTES - size)
            rows, size = rows + [(each.name, row) for row in taken], size + more
    return rows, inputs


def _is_scorable(row: Row, columns: Mapping[str, str]) -> bool:
    try:
        read_pair(row, columns)
    except RowError:
        return False
    return True
