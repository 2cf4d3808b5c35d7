"""CSV and TSV: a header, then rows of strings; quoted according to RFC 4180, or not quoted at all.

The reader gathers a quoted record line by line, so that a stray quote costs one line and not the rest of the file.
While a quote is open, it adds lines until the quote closes. If the gathered lines are not a record of the header's
width, the first line becomes a row with an error, and reading continues with the second line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from pairlift.errors import EmptyError, InputError, RowError, UsageError
from pairlift.formats.json_text import dump_json, read_members
from pairlift.formats.lines import MAX_LINE, Line, LineReader
from pairlift.formats.row import Columns, Place, Row, Span, check_keys, find_repeated, make_span
from pairlift.formats.text import TextWriter

LINE_END = b"\r\n"
FIELD_LIMIT = sys.maxsize >> 32  # csv's default is 131,072 characters; the reader itself limits lines


class DelimitedReader:
    """Rows of a CSV or TSV file. A record that does not have the header's width is a row with an error."""

    count: int | None = None

    def __init__(self, lines: LineReader, source: str, delimiter: str, quoted: bool) -> None:
        csv.field_size_limit(FIELD_LIMIT)
        self._lines = lines
        self._source = source
        self._delimiter = delimiter
        self._quoted = quoted
        first = lines.next()
        if first is None:
            raise EmptyError(f"{source}: the file is empty, expected a header line with the columns' names")
        header = self._read_record(first, width=None)
        if header.error is not None:
            raise InputError(f"{source}:1: the header is {header.error}")
        if "\0" in header.raw:
            raise InputError(
                f"{source}:1: the header holds NUL, as UTF-16 does; expected UTF-8: iconv -f UTF-16LE -t UTF-8"
            )
        names = list(header.values.values())
        repeated = find_repeated(names)
        if repeated is not None:
            raise UsageError(f"{source}:1: column {repeated!r} appears twice in the header; rename one")
        self.columns: tuple[str, ...] | None = tuple(names)
        self._number = 0

    def move(self, file: BinaryIO, place: Place) -> None:
        """Continue at a place; see `Reader.move`."""
        self._lines.move(file, place)
        self._number = place.row

    def spans(self) -> Iterator[Row | Span]:
        """Yield where rows begin and end. Only a line with an odd number of quotes is parsed: one may be open."""
        width, quoted = len(self.columns or ()), self._quoted
        for line, start, end, data in self._lines.scan():
            if quoted and b'"' in data:
                if data.count(b'"') % 2 and len(data) == end - start:
                    end = self._read_record(Line(line, start, end, data), width).end or end
            elif data[:1] in LINE_END and width > 1 and len(data) == end - start and not data.strip(LINE_END):
                continue
            yield make_span((self._number, line, start, end, ""))
            self._number += 1

    def check_texts(self, columns: Iterable[str]) -> None:
        """Accept all columns, because they have no types."""

    def __iter__(self) -> Iterator[Row]:
        columns = self.columns or ()
        while (line := self._lines.next()) is not None:
            if line.whole and not line.data.strip(LINE_END) and len(columns) > 1:
                continue
            yield self._read_record(line, len(columns), self._number)
            self._number += 1

    def _read_record(self, line: Line, width: int | None, number: int = 0) -> Row:
        """Return the record that begins with a line. If `width` is None, it is the header, with values by position."""
        data, end, error = line.data, line.end, None
        fields: list[str] = []
        try:
            if not line.whole:
                raise RowError("too_long", f"a line of {line.end - line.start} bytes, expected at most {MAX_LINE}")
            if self._quoted and b'"' in data:
                data, end, fields = self._read_quoted(line, width)
            else:
                fields = _strip_end(_decode(data)).split(self._delimiter)
                if any("\r" in field for field in fields):
                    raise RowError("bad_csv", "a carriage return inside an unquoted field")
            if width is not None and len(fields) != width:
                raise RowError("ragged_row", f"expected {width} fields, found {len(fields)}")
        except RowError as problem:
            error, fields = problem.bare(), []
        names: Sequence[Any] = range(len(fields)) if width is None else (self.columns or ())
        return Row(
            number=number,
            line=line.number,
            start=line.start,
            end=end,
            values=dict(zip(names, fields, strict=False)),
            raw=_strip_end(data.decode(errors="backslashreplace")),
            error=error,
        )

    def _read_quoted(self, first: Line, width: int | None) -> tuple[bytes, int, list[str]]:
        gathered, size, quotes = [first], len(first.data), first.data.count(b'"')
        if quotes % 2:  # a quote in the middle of an unquoted field is an ordinary character
            with contextlib.suppress(RowError):
                return first.data, first.end, _parse_quoted(_decode(first.data), self._delimiter)
        while quotes % 2 and size < MAX_LINE and gathered[-1].whole:
            line = self._lines.next()
            if line is None:
                break
            gathered.append(line)
            size += len(line.data)
            quotes += line.data.count(b'"')
        data = b"".join(line.data for line in gathered)
        fields: list[str] = []
        if gathered[-1].whole:
            try:
                fields = _parse_quoted(_decode(data), self._delimiter)
            except RowError:
                if len(gathered) == 1:
                    raise
        if len(gathered) > 1 and len(fields) != (width or len(fields) or -1):
            self._lines.take_back(gathered[1:])
            raise RowError("bad_csv", "a quote that is opened and not closed")
        return data, gathered[-1].end, fields


def _strip_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _parse_quoted(text: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        reason = "a quote that is opened and not closed" if "unexpected end" in str(error) else str(error)
        raise RowError("bad_csv", reason) from None
    if len(rows) != 1:
        raise RowError("bad_csv", "a carriage return inside an unquoted field")
    return rows[0]


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"{error.reason} at byte {error.start} of the record") from None


class DelimitedWriter(TextWriter):
    """Writes CSV or TSV."""

    def __init__(self, delimiter: str, quoted: bool, columns: Columns, compression: str) -> None:
        self._delimiter, self._quoted = delimiter, quoted
        self._given, self._added = columns.given or (), columns.added
        self._names = frozenset(self._given)
        try:
            header = self._join([*self._given, *self._added])
        except RowError as error:
            raise UsageError(f"the columns' names cannot be written as the output's header: {error.detail}") from None
        super().__init__(header, compression)

    def spell(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row.

        Raises:
            RowError: The row has a key that the header lacks (`unknown_column`), the key of an added column
                (`column_taken`), or a value that cannot be written (`unwritable`).
        """
        check_keys(row, self._names, self._added)
        values = row.values
        if row.batch is None and not all(map(_is_text, values.values())):
            values = read_members(row.raw)  # numbers and nested values keep their original JSON text
        fields = [_to_text(values.get(name)) for name in self._given]
        return self._join([*fields, prediction, *probabilities])

    def _join(self, fields: list[str]) -> bytes:
        if not self._quoted:
            for field in fields:
                if self._delimiter in field or "\r" in field or "\n" in field:
                    raise RowError(
                        "unwritable",
                        f"{'a tab' if self._delimiter != ',' else 'a comma'} or line end inside a value, which cannot be "
                        "written without quotes; add --quoting minimal, or write JSONL",
                    )
            return (self._delimiter.join(fields) + "\n").encode()
        buffer = io.StringIO(newline="")
        # with "\n" as the line terminator, csv would not quote a lone "\r"
        csv.writer(buffer, delimiter=self._delimiter, lineterminator="\r\n").writerow(fields)
        return buffer.getvalue().removesuffix("\r\n").encode() + b"\n"


def _is_text(value: Any) -> bool:
    return value is None or type(value) is str


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # only Parquet input has such values; JSON would write null
    return value.hex() if isinstance(value, bytes) else dump_json(value)
