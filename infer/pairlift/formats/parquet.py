"""Parquet: typed columns, read batch by batch. A part is an Arrow stream, and becomes a row group of the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.errors import InputError, RowError, UsageError, first_line
from pairlift.formats.delimited import check_keys, dump_json
from pairlift.formats.lines import MAX_LINE
from pairlift.formats.row import Columns, Row, Written

BATCH_ROWS = 1024
READ_BYTES = 1 << 20  # of a column at a time, so that a row group need not fit into memory
JSON_TEXT = {b"content": b"json"}  # marks a column of values that have no common type, each as JSON


def import_arrow(path: str) -> Any:
    """Return pyarrow with its Parquet module.

    Raises:
        UsageError: The extra is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise UsageError(f'{path}: Parquet needs: pip install "pairlift[parquet]"') from None
    return pyarrow


class ParquetReader:
    """Rows of a Parquet file. Values that JSON has no type for (times, decimals, binary) are shown as text.

    Attributes:
        columns: The columns' names.
        count: How many rows there are.
        schema: The Arrow schema.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._arrow = import_arrow(source)
        self._source = source
        try:
            self._file = self._arrow.parquet.ParquetFile(
                file, buffer_size=READ_BYTES, pre_buffer=False, page_checksum_verification=True
            )
        except (OSError, ValueError) as error:  # Arrow's own errors are among them
            raise InputError(
                f"{source}: is not a Parquet file, or is cut off ({first_line(error)}); copy it again"
            ) from error
        self.schema = self._file.schema_arrow
        self.columns: tuple[str, ...] | None = tuple(self.schema.names)
        self.count: int | None = self._file.metadata.num_rows
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            raise UsageError(f"{source}: column {repeated[0]!r} stands twice; rename one")

    def __iter__(self) -> Iterator[Row]:
        number = 0
        batches = self._file.iter_batches(BATCH_ROWS, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                rows = self._read_batch(batch, number)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{self._source}: damaged after row {number} ({first_line(error)}); copy it again"
                ) from error
            yield from rows
            number += len(rows)

    def _read_batch(self, batch: Any, number: int) -> list[Row]:
        errors: dict[int, RowError] = {}
        columns = [self._read_column(name, batch.column(i), errors) for i, name in enumerate(batch.schema.names)]
        rows = []
        for place, fields in enumerate(zip(*columns, strict=True) if columns else [()] * batch.num_rows):
            values = dict(zip(batch.schema.names, fields, strict=True))
            raw = dump_json(values)
            error = errors.get(place)
            if error is None and len(raw) > MAX_LINE:
                error = RowError("too_long", f"a row of {len(raw)} characters, expected at most {MAX_LINE}")
            rows.append(
                Row(
                    number=number + place, line=None, start=None, end=None, values={} if error else values, raw=raw,
                    error=error, batch=batch, place=place,
                )
            )  # fmt: skip
        return rows

    def _read_column(self, name: str, column: Any, errors: dict[int, RowError]) -> list[Any]:
        shown = _show(self._arrow, column)
        try:
            return list(shown.to_pylist())
        except UnicodeDecodeError:
            values = []
            for place, scalar in enumerate(shown):
                try:
                    values.append(scalar.as_py())
                except UnicodeDecodeError as error:
                    errors[place] = RowError("not_utf8", f"{name}: {error.reason} at byte {error.start}")
                    values.append(None)
            return values
        except ValueError as error:
            raise InputError(
                f"{self._source}: column {name!r} has the type {column.type}, which cannot be read ({first_line(error)}); "
                "leave it out of the file"
            ) from error


def _show(arrow: Any, column: Any) -> Any:
    """Return a column with values that JSON has, where it has others."""
    kind = column.type
    types = arrow.types
    if isinstance(kind, arrow.BaseExtensionType):
        return _show(arrow, column.storage)
    if types.is_temporal(kind) or types.is_decimal(kind):
        return column.cast(arrow.string())
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return arrow.array([None if value is None else value.hex() for value in column.to_pylist()], arrow.string())
    return column


class ParquetWriter:
    """Writes Parquet: the columns of a Parquet input as they were, those of another input with the types its first rows show."""

    header = b""

    def __init__(self, columns: Columns, schema: Any) -> None:
        """Take the columns, and their Arrow schema without the added ones."""
        self._arrow = arrow = import_arrow("output")
        self._given, self._added = columns.given or (), columns.added
        self._names = frozenset(self._given)
        self._fields = list(schema)
        added = [
            arrow.field(self._added[0], arrow.string()),
            *(arrow.field(n, arrow.float32()) for n in self._added[1:]),
        ]
        self._schema = arrow.schema([*self._fields, *added], metadata=schema.metadata)

    def write(self, rows: Sequence[Row], predictions: Sequence[str], probabilities: NDArray[np.float32]) -> Written:
        """Return an Arrow stream of rows; as `Writer.write`."""
        arrow = self._arrow
        errors: dict[int, RowError] = {}
        if rows and rows[0].batch is not None:
            given = self._take(rows)
        else:
            given = self._convert(rows, errors)
            kept = [i for i in range(len(rows)) if i not in errors]
            predictions, probabilities = [predictions[i] for i in kept], probabilities[kept]
        scores = [
            arrow.array(predictions, arrow.string()),
            *(arrow.array(np.ascontiguousarray(p)) for p in probabilities.T),
        ]
        table = arrow.Table.from_arrays([*given, *scores], schema=self._schema)
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, self._schema) as stream:
            stream.write_table(table.combine_chunks().unify_dictionaries())
        return Written(output=sink.getvalue().to_pybytes() if predictions else b"", errors=errors)

    def _take(self, rows: Sequence[Row]) -> list[Any]:
        groups = [
            group[0].batch.take(self._arrow.array([row.place for row in group]))
            for group in (list(g) for _, g in itertools.groupby(rows, key=lambda row: id(row.batch)))
        ]
        return list(self._arrow.Table.from_batches(groups).columns)

    def _convert(self, rows: Sequence[Row], errors: dict[int, RowError]) -> list[Any]:
        columns: list[list[Any]] = [[] for _ in self._fields]
        for i, row in enumerate(rows):
            try:
                check_keys(row, self._names, self._added)
                values = [_convert(row.values.get(field.name), field) for field in self._fields]
            except RowError as error:
                errors[i] = error
                continue
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        return [self._arrow.array(column, field.type) for column, field in zip(columns, self._fields, strict=True)]

    def join(self, parts: Iterable[Path], file: BinaryIO) -> None:
        """Write a Parquet file with a row group for each part."""
        with self._arrow.parquet.ParquetWriter(file, self._schema) as writer:
            for part in parts:
                with part.open("rb") as source, self._arrow.ipc.open_stream(source) as stream:
                    table = stream.read_all()
                writer.write_table(table, row_group_size=max(1, table.num_rows))


def infer_schema(names: Sequence[str], rows: Sequence[Row]) -> Any:
    """Return the Arrow schema of an output whose input has no types.

    Args:
        names: The columns.
        rows: The input's first rows, which decide: text, booleans, 64-bit integers, floats; JSON text for what is nested or
            mixed.
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


def _convert(value: Any, field: Any) -> Any:
    if value is None:
        return None
    kind, expected = type(value), str(field.type)
    if field.metadata == JSON_TEXT:
        return dump_json(value)
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
