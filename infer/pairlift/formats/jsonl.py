"""JSON lines: one object per line, copied byte for byte, with the scores added at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import orjson

from pairlift.errors import EmptyError, InputError, RowError
from pairlift.formats.json_text import dump_json
from pairlift.formats.lines import MAX_LINE, Line, LineReader
from pairlift.formats.row import Columns, Place, Row, Span, find_repeated, make_span
from pairlift.formats.text import TextWriter

_KEY = re.compile(rb'"\s*:')  # the end of each key, and sometimes a part of a string
_LARGE = 2.0**63  # orjson turns integers beyond 64 bits into floats


class JsonlReader:
    """Rows of JSON lines. Blank lines are skipped; a line that is not an object is a row with an error."""

    columns: tuple[str, ...] | None = None
    count: int | None = None

    def __init__(self, lines: LineReader, source: str) -> None:
        self._lines = lines
        first = lines.next()
        if first is None:
            raise EmptyError(f"{source}: the file is empty, expected JSON lines")
        if b"\0" in first.data[:2]:
            raise InputError(f"{source}:1: holds NUL, as UTF-16 does; expected UTF-8: iconv -f UTF-16LE -t UTF-8")
        lines.take_back([first])
        self._number = 0

    def move(self, file: BinaryIO, place: Place) -> None:
        """Continue at a place; see `Reader.move`."""
        self._lines.move(file, place)
        self._number = place.row

    def check_texts(self, columns: Iterable[str]) -> None:
        """Accept all columns, because they have no types."""

    def __iter__(self) -> Iterator[Row]:
        while (line := self._lines.next()) is not None:
            data = line.data.strip(b" \t\r\n")
            if data or not line.whole:
                yield _read_line(line, data, self._number)
                self._number += 1

    def spans(self) -> Iterator[Row | Span]:
        """Yield where the rows begin and end."""
        for line, start, end, data in self._lines.scan():
            if data[:1] > b" " or data.strip(b" \t\r\n") or len(data) < end - start:
                yield make_span((self._number, line, start, end, ""))
                self._number += 1


def _read_line(line: Line, data: bytes, number: int) -> Row:
    values: Mapping[str, Any] = {}
    problem: RowError | None = None
    try:
        if not line.whole:
            raise RowError("too_long", f"a line of {line.end - line.start} bytes, expected at most {MAX_LINE}")
        values = _read_object(data)
        raw = data.decode()
    except RowError as error:
        problem, raw = error.bare(), data.decode(errors="backslashreplace")
    return Row(number=number, line=line.number, start=line.start, end=line.end, values=values, raw=raw, error=problem)


def _read_object(data: bytes) -> Mapping[str, Any]:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RowError("bad_json", str(error)) from None
    if not isinstance(values, dict):
        raise RowError("not_an_object", f"found {type(values).__name__}, expected an object")
    # orjson keeps only the last of equal keys, and rounds large integers. If a line may contain either, json parses it,
    # which is slower.
    once = data.count(b":") == len(values) or len(_KEY.findall(data)) == len(values)
    if once and not any(map(_is_doubtful, values.values())):
        return values
    try:
        exact: Mapping[str, Any] = json.loads(data, object_pairs_hook=_take_pairs)
    except RecursionError:
        raise RowError("bad_json", "nested too deep") from None
    return exact


def _is_doubtful(value: Any) -> bool:
    kind = type(value)
    return kind is list or kind is dict or (kind is float and abs(value) >= _LARGE)


def _take_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RowError("duplicate_key", f"key {find_repeated([name for name, _ in pairs])!r} appears twice")
    return values


class JsonlWriter(TextWriter):
    """Writes JSON lines: the unchanged objects of JSON lines, or objects made of a table's columns."""

    def __init__(self, columns: Columns, compression: str) -> None:
        super().__init__(b"", compression)
        self._columns = columns
        self._keys = [orjson.dumps(name) + b":" for name in columns.added]

    def spell(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row.

        Raises:
            RowError: The row already has the key of an added column (`column_taken`), or a value that JSON cannot hold
                (`unwritable`).
        """
        taken = [name for name in self._columns.added if name in row.values]
        if taken:
            raise RowError("column_taken", f"the row has a key {taken[0]!r} already")
        given = row.raw.encode() if self._columns.given is None else dump_json(row.values).encode()
        separator = b"," if row.values else b""
        scores = b",".join(map(bytes.__add__, self._keys, (orjson.dumps(prediction), *map(str.encode, probabilities))))
        return b"%b%b%b}\n" % (given[: given.rindex(b"}")], separator, scores)
