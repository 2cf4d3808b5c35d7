"""The Parquet writer: a part is an Arrow stream, which becomes a row group of the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.errors import RowError
from pairlift.formats.json_text import dump_json, read_members
from pairlift.formats.parquet import import_arrow
from pairlift.formats.row import Columns, Row, Written, check_keys

JSON_TEXT = {b"content": b"json"}  # marks a column of JSON text, for values without a common type


class ParquetWriter:
    """Writes Parquet: a Parquet input's columns unchanged, another input's columns with the types of its first rows."""

    header = b""

    def __init__(self, columns: Columns, schema: Any) -> None:
        """Take the columns, and the Arrow schema of all but the added ones."""
        self._arrow = arrow = import_arrow("output")
        self._given, self._added = columns.given or (), columns.added
        self._names = frozenset(self._given)
        self._fields = list(schema)
        self._spelt = any(field.metadata == JSON_TEXT for field in self._fields)
        added = [
            arrow.field(self._added[0], arrow.string()),
            *(arrow.field(n, arrow.float32()) for n in self._added[1:]),
        ]
        self._schema = arrow.schema([*self._fields, *added], metadata=schema.metadata)

    def write(self, rows: Sequence[Row], predictions: Sequence[str], probabilities: NDArray[np.float32]) -> Written:
        """Return an Arrow stream of rows; see `Writer.write`."""
        arrow = self._arrow
        errors: dict[int, RowError] = {}
        if not rows:
            return Written(output=b"", errors=errors)
        if rows[0].batch is not None:
            given = self._take(rows)
        else:
            given = self._convert(rows, errors)
            kept = [i for i in range(len(rows)) if i not in errors]
            predictions, probabilities = [predictions[i] for i in kept], probabilities[kept]
        scores = [
            arrow.array(predictions, arrow.string()),
            *(arrow.array(np.ascontiguousarray(p)) for p in probabilities.T),
        ]
        # One piece per column, so that the bytes do not depend on the batches in which the rows were read.
        table = arrow.Table.from_arrays([*given, *scores], schema=self._schema).combine_chunks()
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, self._schema) as stream:
            stream.write_table(table.unify_dictionaries())
        return Written(output=sink.getvalue().to_pybytes() if predictions else b"", errors=errors)

    def _take(self, rows: Sequence[Row]) -> list[Any]:
        slices, begin = [], 0
        for i in range(1, len(rows) + 1):
            last = rows[i - 1]
            if i == len(rows) or rows[i].batch is not last.batch or rows[i].place != last.place + 1:
                slices.append(last.batch.slice(rows[begin].place, i - begin))
                begin = i
        return list(self._arrow.Table.from_batches(slices).columns)

    def _convert(self, rows: Sequence[Row], errors: dict[int, RowError]) -> list[Any]:
        columns: list[list[Any]] = [[] for _ in self._fields]
        for i, row in enumerate(rows):
            try:
                check_keys(row, self._names, self._added)
                members = _spell_members(row) if self._spelt else {}
                values = [
                    members.get(f.name) if f.metadata == JSON_TEXT else _convert(row.values.get(f.name), f)
                    for f in self._fields
                ]
            except RowError as error:
                errors[i] = error
                continue
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        return [self._arrow.array(column, field.type) for column, field in zip(columns, self._fields, strict=True)]

    def join(self, parts: Iterable[BinaryIO], file: BinaryIO) -> None:
        """Write a Parquet file with a row group for each part."""
        with self._arrow.parquet.ParquetWriter(file, self._schema) as writer:
            for part in parts:
                with self._arrow.ipc.open_stream(part) as stream:
                    table = stream.read_all()
                writer.write_table(table, row_group_size=max(1, table.num_rows))


def infer_schema(names: Sequence[str], rows: Sequence[Row]) -> Any:
    """Return the Arrow schema of an output whose input has no types.

    Args:
        names: The columns.
        rows: The input's first rows, which determine the types: text, booleans, 64-bit integers or floats; JSON text
            for nested or mixed values.
    """
    arrow = import_arrow("output")
    good = [row.values for row in rows if row.error is None]
    fields = []
    for name in names:
        kinds = {type(value) for values in good if (value := values.get(name)) is not None}
        if kinds <= {str}:
            fields.append(arrow.field(name, arrow.string()))
        elif kinds == {bool}:
            fields.append(arrow.field(name, arrow.bool_()))
        elif kinds == {int}:
            fields.append(arrow.field(name, arrow.int64()))
        elif kinds <= {int, float}:
            fields.append(arrow.field(name, arrow.float64()))
        else:
            fields.append(arrow.field(name, arrow.string(), metadata=JSON_TEXT))
    return arrow.schema(fields)


def _spell_members(row: Row) -> dict[str, str | None]:
    """Return the members of a row of JSON lines as JSON: strings in quotes, everything else as its original text."""
    spelt = read_members(row.raw)
    return {name: dump_json(value) if isinstance(value, str) else spelt[name] for name, value in row.values.items()}


def _convert(value: Any, field: Any) -> Any:
    if value is None:
        return None
    kind, expected = type(value), str(field.type)
    fits = (
        (expected == "string" and kind is str)
        or (expected == "bool" and kind is bool)
        or (expected == "int64" and kind is int and -(2**63) <= value < 2**63)
        or (expected == "double" and (kind is float or (kind is int and abs(value) <= 2**53)))
    )
    if not fits:
        shown = orjson.dumps(str(value)[:40]).decode()
        raise RowError(
            "unwritable", f"{field.name}: found {shown}, expected {expected} as in the first rows; write JSONL"
        )
    return value
