"""The Parquet reader: typed columns, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pairlift.errors import InputError, RowError, UsageError, first_line, missing_extra
from pairlift.formats.failures import WatchedFile
from pairlift.formats.json_text import show_json
from pairlift.formats.lines import MAX_LINE
from pairlift.formats.row import Place, Row, find_repeated

BATCH_ROWS = 64  # few, because a file of a kilobyte may hold rows of megabytes (one repeated text)
READ_BYTES = 1 << 20  # read from a column at a time, so that a row group need not fit into memory


def import_arrow(path: str) -> Any:
    """Return pyarrow with its Parquet module.

    Raises:
        UsageError: The extra is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise missing_extra(f"{path}: Parquet", "parquet") from None
    return pyarrow


class ParquetReader:
    """Rows of a Parquet file. Values that JSON has no type for (times, decimals, binary) are shown as text.

    Attributes:
        columns: The columns' names.
        count: The number of rows.
        schema: The Arrow schema.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._arrow = import_arrow(source)
        self._source = source
        self._damage = (OSError, ValueError, OverflowError, self._arrow.ArrowException)
        self._below = WatchedFile(file)
        try:
            self._file = self._arrow.parquet.ParquetFile(
                self._below,
                buffer_size=READ_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",  # as nanoseconds, times before 1678 and after 2261 would be wrong
            )
        except self._damage as error:
            self._below.check(source, "after row 0")
            raise InputError(
                f"{source}: is not a Parquet file, or is cut off ({first_line(error)}); copy it again"
            ) from error
        self.schema = self._file.schema_arrow
        self.columns: tuple[str, ...] | None = tuple(self.schema.names)
        self.count: int | None = self._file.metadata.num_rows
        self._number = 0
        repeated = find_repeated(self.columns)
        if repeated is not None:
            raise UsageError(f"{source}: column {repeated!r} appears twice; rename one")

    def check_texts(self, columns: Iterable[str]) -> None:
        """Check that columns hold text.

        Raises:
            UsageError: A column has another type.
        """
        types = self._arrow.types
        for name in columns:
            kind = self.schema.field(name).type
            of = kind.value_type if types.is_dictionary(kind) else kind
            if not (types.is_string(of) or types.is_large_string(of) or types.is_string_view(of)):
                raise UsageError(
                    f"{self._source}: column {name!r} has the type {kind}, expected string; convert it, or choose another "
                    "column with --fields"
                )

    def move(self, file: BinaryIO, place: Place) -> None:
        """Continue at a row. The file is ignored, because the reader has its own."""
        self._number = place.row

    def __iter__(self) -> Iterator[Row]:
        number, groups = 0, list[int]()
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if groups or number + rows > self._number:
                groups.append(group)
            else:
                number += rows
        batches = self._file.iter_batches(BATCH_ROWS, row_groups=groups, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                if number + batch.num_rows <= self._number:
                    number += batch.num_rows
                    continue
                rows = self._read_batch(batch, number)
            except self._damage as error:
                self._below.check(self._source, f"after row {number}")
                known = isinstance(error, self._arrow.ArrowNotImplementedError)
                what = "contains data that pyarrow cannot read" if known else "damaged"
                advice = "write it with other types" if known else "copy it again"
                raise InputError(
                    f"{self._source}: {what} after row {number} ({first_line(error)}); {advice}"
                ) from error
            yield from rows[max(0, self._number - number) :]
            number += len(rows)

    def _read_batch(self, batch: Any, number: int) -> list[Row]:
        errors: dict[int, RowError] = {}
        names = batch.schema.names
        columns = [self._read_column(name, batch.column(i), errors) for i, name in enumerate(names)]
        rows = []
        for place, fields in enumerate(zip(*columns, strict=True) if columns else [()] * batch.num_rows):
            values = dict(zip(names, fields, strict=True))
            raw = show_json(values)
            error = errors.get(place)
            if error is None and len(raw) > MAX_LINE:
                error = RowError("too_long", f"a row of {len(raw)} characters, expected at most {MAX_LINE}")
            rows.append(
                Row(
                    number=number + place, line=None, start=None, end=None, values={} if error else values,
                    raw=raw[:MAX_LINE], error=error, batch=batch, place=place,
                )
            )  # fmt: skip
        return rows

    def _read_column(self, name: str, column: Any, errors: dict[int, RowError]) -> list[Any]:
        shown = _show(self._arrow, column)
        values = []
        try:
            return list(shown.to_pylist())
        except (ValueError, OverflowError, self._arrow.ArrowException):
            for place, scalar in enumerate(shown):
                try:
                    values.append(scalar.as_py())
                except UnicodeDecodeError as error:
                    errors[place] = RowError("not_utf8", f"{name}: {error.reason} at byte {error.start}")
                    values.append(None)
                except (
                    ValueError,
                    OverflowError,
                    self._arrow.ArrowException,
                ) as error:  # nested times that Python cannot represent
                    values.append(Unreadable(f"{name}: {first_line(error)}"))
            return values


class Unreadable:
    """A value that only a Parquet output can hold."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __str__(self) -> str:
        return self._reason


def _show(arrow: Any, column: Any) -> Any:
    """Return a column in a form that JSON can hold: times and decimals become text, if Arrow can format them."""
    kind, types = column.type, arrow.types
    if isinstance(kind, arrow.BaseExtensionType):
        return _show(arrow, column.storage)
    try:
        if types.is_temporal(kind) or types.is_decimal(kind):
            return column.cast(arrow.string())
    except arrow.ArrowException:
        if types.is_timestamp(kind):  # a time zone that this machine does not know; in UTC the instant is the same
            return column.cast(arrow.timestamp(kind.unit, "UTC")).cast(arrow.string())
    return column
