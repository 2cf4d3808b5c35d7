"""JSON lines: one object a line, passed through byte for byte with the scores put at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pairlift.errors import InputError, RowError
from pairlift.formats.lines import MAX_LINE, Line, LineReader
from pairlift.formats.row import Columns, Row


class JsonlReader:
    """Rows of JSON lines. Blank lines are passed over; a line that is not an object is a row with an error."""

    columns: tuple[str, ...] | None = None

    def __init__(self, lines: LineReader, source: str) -> None:
        self._lines = lines
        first = lines.next()
        if first is None:
            raise InputError(f"{source}: the file is empty, expected JSON lines")
        lines.take_back([first])

    def __iter__(self) -> Iterator[Row]:
        number = 0
        while (line := self._lines.next()) is not None:
            data = line.data.strip(b" \t\r\n")
            if data:
                yield _read_line(line, data, number)
                number += 1


def _read_line(line: Line, data: bytes, number: int) -> Row:
    values: Any = None
    problem: RowError | None = None
    if not line.whole:
        problem = RowError("too_long", f"a line of {line.end - line.start} bytes, expected at most {MAX_LINE}")
    else:
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            problem = RowError("bad_json", str(error))
        else:
            if isinstance(values, dict):
                return Row(
                    number=number, line=line.number, start=line.start, end=line.end, values=values, raw=data.decode()
                )
            problem = RowError("not_an_object", f"found {type(values).__name__}, expected an object")
    raw = data.decode(errors="backslashreplace")
    return Row(number=number, line=line.number, start=line.start, end=line.end, values={}, raw=raw, error=problem)


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
