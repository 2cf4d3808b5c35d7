"""CSV (RFC 4180) and TSV (unquoted): a header, then rows of strings."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson

from pairlift.errors import InputError, RowError, UsageError
from pairlift.formats.row import Columns, Row

FIELD_LIMIT = sys.maxsize >> 32  # csv's own limit is 131,072 characters


class DelimitedReader:
    """Rows of a CSV or TSV file. A row with another number of fields than the header is a row with an error."""

    def __init__(self, file: BinaryIO, source: str, delimiter: str) -> None:
        csv.field_size_limit(FIELD_LIMIT)
        self._source = source
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if delimiter == "," else "\n")
        self._rows: Iterator[list[str]]
        self._csv: Any = None
        if delimiter == ",":
            self._rows = self._csv = csv.reader(self._text, delimiter=delimiter, strict=True)
        else:
            self._rows = (line.rstrip("\r\n").split("\t") for line in self._lines())
        self._line = 0
        header = self._next()
        if header is None:
            raise InputError(f"{source}: the file is empty, expected a header line with the columns' names")
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            raise UsageError(f"{source}:1: column {repeated[0]!r} stands twice in the header; rename one")
        self.columns: tuple[str, ...] | None = tuple(header)

    def __iter__(self) -> Iterator[Row]:
        columns = self.columns or ()
        number = 0
        while True:
            line = (self._csv.line_num if self._csv else self._line) + 1
            fields = self._next()
            if fields is None:
                return
            if not fields or (fields == [""] and len(columns) > 1):
                continue
            error = None
            if len(fields) != len(columns):
                error = RowError("ragged_row", f"expected {len(columns)} fields, found {len(fields)}")
            yield Row(
                number=number,
                line=line,
                values=dict(zip(columns, fields, strict=False)),
                raw="\t".join(fields),
                error=error,
            )
            number += 1

    def _lines(self) -> Iterator[str]:
        for line in self._text:
            self._line += 1
            yield line

    def _next(self) -> list[str] | None:
        line = (self._csv.line_num if self._csv else self._line) + 1
        try:
            return next(self._rows, None)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self._source}: not UTF-8 ({error.reason} after line {line - 1}); convert the file to UTF-8"
            ) from None
        except csv.Error as error:
            raise InputError(
                f"{self._source}:{line}: not CSV ({error}); expected RFC 4180: quotes doubled inside quoted fields"
            ) from None


class DelimitedWriter:
    """Writes CSV or TSV."""

    def __init__(self, delimiter: str, columns: Columns) -> None:
        self._delimiter = delimiter
        self._given, self._added = columns.given or (), columns.added
        self._names = frozenset(self._given)
        self.header = self._join([*self._given, *self._added])

    def write(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row.

        Raises:
            RowError: A key that the header lacks (`unknown_column`), one of ours (`column_taken`), or a tab or
                line end that unquoted TSV cannot hold (`unwritable`).
        """
        fields = [_to_text(row.values.get(name)) for name in self._given]
        if not row.values.keys() <= self._names:
            taken = [name for name in self._added if name in row.values]
            if taken:
                raise RowError("column_taken", f"the row has a column {taken[0]!r} already")
            unknown = next(name for name in row.values if name not in self._names)
            raise RowError(
                "unknown_column", f"key {unknown!r} is not among the first row's, which are the output's columns"
            )
        if self._delimiter == "\t" and any(c in field for field in fields for c in "\t\r\n"):
            raise RowError(
                "unwritable", "a tab or line end inside a value, which unquoted TSV cannot hold; write CSV or JSONL"
            )
        return self._join([*fields, prediction, *probabilities])

    def _join(self, fields: list[str]) -> bytes:
        if self._delimiter == "\t":
            return ("\t".join(fields) + "\n").encode()
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator="\n").writerow(fields)
        return buffer.getvalue().encode()


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()
