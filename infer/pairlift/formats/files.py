"""Files of rows: the reader and the writer of each format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from pairlift.errors import InputError
from pairlift.formats.compression import open_decompressed
from pairlift.formats.delimited import DelimitedReader, DelimitedWriter
from pairlift.formats.failures import FAILURES, explain_failure
from pairlift.formats.format import PARQUET, Format, format_of
from pairlift.formats.jsonl import JsonlReader, JsonlWriter
from pairlift.formats.lines import LineReader
from pairlift.formats.row import Columns, Place, Reader, Row, Writer
from pairlift.storage.open import open_input

SKIP_BYTES = 1 << 20  # skipped at a time


def open_reader(file: BinaryIO, source: str, found: Format) -> Reader:
    """Return the reader of a format.

    Raises:
        InputError: The file is empty, or does not have that format.
        UsageError: A column name appears twice.
    """
    if found.kind == PARQUET:
        from pairlift.formats.parquet import ParquetReader

        return ParquetReader(file, source)
    lines = LineReader(open_decompressed(file, found.compression, source), source)
    if found.delimiter is None:
        return JsonlReader(lines, source)
    return DelimitedReader(lines, source, found.delimiter, found.quoted)


def check_alike(reader: Reader, first: Reader, source: str, first_source: str) -> None:
    """Check that an input has the same columns as the first input of the job, and in Parquet the same types.

    Raises:
        InputError: They differ. The message says how.
    """
    if reader.columns != first.columns:
        found, expected = (", ".join(each.columns or ()) for each in (reader, first))
        raise InputError(
            f"{source}: has columns {found}; expected {expected}, as {first_source} has; score it separately"
        )
    was, now = getattr(first, "schema", None), getattr(reader, "schema", None)
    if was is not None and now is not None and not was.equals(now):
        before, after = next((a, b) for a, b in zip(was, now, strict=True) if not a.equals(b))
        types = [f"{field.type}{'' if field.nullable else ' not null'}" for field in (after, before)]
        raise InputError(
            f"{source}: column {after.name!r} is {types[0]}; expected {types[1]}, as {first_source} has; score it separately"
        )


def reopen(file: BinaryIO, found: Format, source: str, place: Place) -> BinaryIO:
    """Return the decompressed contents of an open file, from a place onwards.

    Raises:
        InputError: The file cannot be read up to that place.
    """
    try:
        if not found.compression:
            file.seek(place.start or 0)
            return file
        file.seek(place.member)
        stream, left = open_decompressed(file, found.compression, source), place.skip
        while left and (passed := len(stream.read(min(left, SKIP_BYTES)))):
            left -= passed
    except FAILURES as error:
        raise explain_failure(error, source, f"before line {place.line}") from error
    return stream


def make_writer(found: Format, columns: Columns, reader: Reader | None = None, first: Sequence[Row] = ()) -> Writer:
    """Return the writer of a format.

    Args:
        found: The format.
        columns: The input's columns (None for JSON lines to JSON lines, which need none) and the added ones.
        reader: The input's reader, whose schema a Parquet output keeps.
        first: The first rows that can be scored. They determine a Parquet output's types if the input has no schema.

    Raises:
        UsageError: The columns' names cannot be written.
    """
    if found.kind == PARQUET:
        from pairlift.formats.parquet import ParquetReader
        from pairlift.formats.parquet_writer import ParquetWriter, infer_schema

        schema = reader.schema if isinstance(reader, ParquetReader) else infer_schema(columns.given or (), first)
        return ParquetWriter(columns, schema)
    if found.delimiter is None:
        return JsonlWriter(columns, found.compression)
    return DelimitedWriter(found.delimiter, found.quoted, columns, found.compression)


def read_rows(path: str) -> Iterator[Row]:
    """Yield the rows of a file. Raises what `open_input` and `open_reader` raise."""
    with open_input(path) as file:
        yield from open_reader(file, path, format_of(path))
