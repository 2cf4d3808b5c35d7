"""JSON lines: one object a line, passed through byte for byte with the scores put at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import orjson

from pairlift.errors import InputError, RowError
from pairlift.formats.row import Columns, Row

BOM = b"\xef\xbb\xbf"


class JsonlReader:
    """Rows of JSON lines. Blank lines are passed over; a line that is not an object is a row with an error."""

    columns: tuple[str, ...] | None = None

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._first = file.readline().removeprefix(BOM)
        if not self._first:
            raise InputError(f"{source}: the file is empty, expected JSON lines")

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for index, data in enumerate(self._lines(), 1):
            line = data.strip(b" \t\r\n")
            if line:
                yield _read_line(line, number, index)
                number += 1

    def _lines(self) -> Iterator[bytes]:
        yield self._first
        yield from self._file


def _read_line(data: bytes, number: int, line: int) -> Row:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        problem = RowError("bad_json", str(error))
    else:
        if isinstance(values, dict):
            return Row(number=number, line=line, values=values, raw=data.decode())
        problem = RowError("not_an_object", f"found {type(values).__name__}, expected an object")
    return Row(number=number, line=line, values={}, raw=data.decode(errors="backslashreplace"), error=problem)


class JsonlWriter:
    """Writes JSON lines: an object of the input as it stood, or the columns of a table as strings."""

    header = b""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._keys = [orjson.dumps(name) + b":" for name in columns.added]

    def write(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row.

        Raises:
            RowError: The object has a key of ours already (`column_taken`).
        """
        taken = [name for name in self._columns.added if name in row.values]
        if taken:
            raise RowError("column_taken", f"the row has a key {taken[0]!r} already")
        given = row.raw.encode() if self._columns.given is None else orjson.dumps(row.values)
        separator = b"," if row.values else b""
        scores = b",".join(map(bytes.__add__, self._keys, (orjson.dumps(prediction), *map(str.encode, probabilities))))
        return b"%b%b%b}\n" % (given[: given.rindex(b"}")], separator, scores)
