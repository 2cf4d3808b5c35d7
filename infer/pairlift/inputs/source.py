"""The source of a job: its opened inputs, the columns of their texts, and the writer of the output."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from pairlift import formats
from pairlift.errors import InputError, UsageError
from pairlift.formats import Columns, Format, Reader, Row, Writer
from pairlift.formats.fields import check_columns, map_fields
from pairlift.inputs.first_rows import is_scorable, look_at_first
from pairlift.inputs.names import common_folder, cut_lots, shown_name
from pairlift.inputs.options import JobOptions
from pairlift.inputs.reopen import open_other
from pairlift.inputs.rows import RowStream
from pairlift.storage.open import STREAM
from pairlift.storage.stamp import Input
from pairlift.storage.url import is_remote


@dataclasses.dataclass(slots=True, kw_only=True)
class Source:
    """The inputs of a job. The first is open from the beginning, and each other is opened when its turn comes.

    Attributes:
        inputs: The inputs, in order.
        leaders: The inputs that determine the form of the output: the first, and others only if it has no header.
        size: The size of all inputs, in bytes.
        input: The input that is being read.
        file: The open file of that input.
        reader: The reader of that input.
        rows: The rows of the first input, which can be read once.
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
        """The folder that contains all inputs; the rejects name inputs relative to it."""
        return common_folder([each.name for each in self.inputs])

    def lots(self) -> Iterator[RowStream]:
        """Yield the rows of each lot. The caller must read all rows of one lot before the next.

        Raises:
            InputError: An input cannot be read, has changed since the job began, or has other columns than the first.
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
            with open_other(each, self.found) as (file, reader):
                self.input = each
                if reader is not None:
                    formats.check_alike(reader, self._first, each.name, self.inputs[0].name)
                    self.file, self.reader = file, reader
                    yield from self._count(iter(reader))

    def check_headers(self) -> None:
        """Check that all files have the columns of the first, before anything is scored.

        Objects are not checked, because each would have to be fetched.

        Raises:
            InputError: A file has other columns, or cannot be read.
        """
        for each in self.inputs[1:] if self.reader.columns is not None else ():
            if not is_remote(each.name):
                with open_other(each, self.found) as (_, reader):
                    if reader is not None:
                        formats.check_alike(reader, self.reader, each.name, self.inputs[0].name)

    def _count(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.taken += 1
            yield row

    def total(self) -> int | None:
        """Return the number of rows, or an estimate from the share of bytes that have been read, or None."""
        if self.name == STREAM:
            return None
        if self.reader.count is not None:
            rows, read = self._passed_rows + self.reader.count, self._passed_bytes + self.input.stamp.size
        else:
            here = self.input.stamp.size if self.file.closed else self.file.tell()
            rows, read = self.taken, self._passed_bytes + here
        return max(self.taken, round(rows * self.size / max(1, read)))


def open_source(
    file: BinaryIO,
    inputs: tuple[Input, ...],
    found: Format,
    written: Format,
    options: JobOptions,
    *,
    fields: tuple[str, ...],
    labels: tuple[str, ...],
) -> Source:
    """Open the rows of the first input, and determine the form of the output.

    Args:
        file: The first input's open file.
        inputs: The inputs, in order. Each stamp was taken before anything was read.
        found: The inputs' format.
        written: The output's format.
        options: The job's options.
        fields: The names of the two texts that the model takes, in its order.
        labels: The model's labels, each of which adds a column.

    Raises:
        UsageError: A column is missing, has the name of an added column, or appears twice.
        InputError: The input cannot be read.
    """
    name = inputs[0].name
    reader = formats.open_reader(file, name, found)
    columns = map_fields(options.fields, fields)
    added = ("prediction", *(f"p_{label}" for label in labels))
    rows, first, given, leaders = iter(reader), list[Row](), reader.columns, inputs[:1]
    if given is not None:
        _check_given(reader, given, columns, added, name)
    else:
        keyless = written.kind == ".jsonl"  # each object keeps its own keys, so one valid row is enough
        looked = look_at_first(rows, inputs, found, keyless, options.chunk_rows)
        good = next(((at, row) for at, row in looked.rows if row.error is None), None)
        if good:
            check_columns(tuple(good[1].values), columns, f"{good[0]}:{good[1].line}")
        first = [row for _, row in looked.rows if is_scorable(row, columns)]
        rows, leaders = looked.all, looked.leaders
        if not keyless:
            given = tuple(key for key in dict.fromkeys(k for row in first for k in row.values) if key not in added)
            if not first and looked.more:
                raise InputError(
                    f"{name}: none of the first {len(looked.rows)} rows can be scored ({looked.rows[0][1].error or 'no texts'}), so "
                    "the columns of the output are not known; fix the input, or write JSONL"
                )
    writer = formats.make_writer(written, Columns(given=given, added=added), reader, first)
    return Source(
        inputs=inputs, leaders=leaders, size=sum(each.stamp.size for each in inputs), input=inputs[0], file=file,
        reader=reader, rows=rows, columns=columns, writer=writer, found=found, written=written, options=options,
    )  # fmt: skip


def _check_given(
    reader: Reader, given: tuple[str, ...], columns: Mapping[str, str], added: tuple[str, ...], name: str
) -> None:
    """Raise a `UsageError` if a column that is read is missing, or a column that is added already exists."""
    check_columns(given, columns, name)
    reader.check_texts(columns.values())
    taken = next((column for column in added if column in given), None)
    if taken:
        raise UsageError(f"{name}: has a column {taken!r} already, which the scores need; rename it in the input")
