"""Files of rows: CSV, TSV, JSON lines and Parquet, read and written without changing what is not ours.

A reader yields a `Row` for each record, good or bad; a writer makes parts of a file out of rows with their scores.
"""

from __future__ import annotations

import dataclasses
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pairlift.choices import MINIMAL
from pairlift.errors import InputError, UsageError
from pairlift.formats.compression import SUFFIXES, check_compression, open_decompressed
from pairlift.formats.delimited import DelimitedReader, DelimitedWriter
from pairlift.formats.failures import FAILURES, explain_failure
from pairlift.formats.jsonl import JsonlReader, JsonlWriter
from pairlift.formats.lines import LineReader
from pairlift.formats.row import Columns, Place, Reader, Row, Writer
from pairlift.storage import is_remote

__all__ = [
    "Columns",
    "Format",
    "Reader",
    "Row",
    "Writer",
    "check_alike",
    "format_of",
    "make_writer",
    "open_input",
    "open_reader",
]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
KINDS = (*DELIMITERS, ".jsonl", PARQUET)
STREAM = "-"
SKIP_BYTES = 1 << 20  # passed over at a time


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """How a file is written.

    Attributes:
        kind: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
        compression: `.gz`, `.zst` or nothing; nothing for Parquet, which has its own.
        quoted: Whether fields of CSV or TSV may stand in quotes.
    """

    kind: str
    compression: str = ""
    quoted: bool = True

    def __str__(self) -> str:
        usual = self.quoted == (self.kind != ".tsv")
        return self.kind + self.compression + ("" if usual else ", quoted" if self.quoted else ", unquoted")

    @property
    def delimiter(self) -> str | None:
        """What stands between fields, in CSV and TSV."""
        return DELIMITERS.get(self.kind)


def format_of(path: str, other: str | None = None, quoting: str | None = None) -> Format:
    """Return a file's format by its extensions.

    Args:
        path: The file; a stream (`-`) has the format of the other end, uncompressed, and JSON lines where that is Parquet. A
            directory (`/` at its end) holds files of the format that its name says, or else of the other end's.
        other: The other end of a job.
        quoting: `minimal` or `none`, for CSV and TSV; by default CSV is quoted where it must be, and TSV is not.

    Raises:
        UsageError: The extension is not one of ours, or the extra that it takes is not installed.
    """
    if path == STREAM:
        kind = format_of(other).kind if other not in (None, STREAM) else ".jsonl"
        return _format(".jsonl" if kind == PARQUET else kind, "", quoting)
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if path.endswith("/"):
        if other in (None, STREAM):
            raise UsageError(f"{path}: ends in a slash; expected a file's name")
        if not any(suffix in KINDS for suffix in suffixes[-2:]):  # its files have the format of the other end's
            return format_of(str(other), None, quoting)
    compression = suffixes.pop() if suffixes and suffixes[-1] in SUFFIXES else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in KINDS or (kind == PARQUET and compression):
        raise UsageError(
            f"{path}: found extension {kind + compression or 'none'!r}, expected one of {', '.join(KINDS)}, "
            f"or a text format with {' or '.join(SUFFIXES)}"
        )
    check_compression(compression, path)
    if kind == PARQUET:
        from pairlift.formats.parquet import import_arrow

        import_arrow(path)
    return _format(kind, compression, quoting)


def _format(kind: str, compression: str, quoting: str | None) -> Format:
    usual = quoting is None or kind not in DELIMITERS
    return Format(kind, compression, kind != ".tsv" if usual else quoting == MINIMAL)


def open_input(path: str) -> BinaryIO:
    """Open a file, an object (`s3://bucket/key`), or standard input for `-`.

    Raises:
        InputError: It is not there, or cannot be read.
        UsageError: The extra that an object takes is not installed.
    """
    if path == STREAM:
        return sys.stdin.buffer
    if is_remote(path):
        from pairlift.storage.object_file import open_object

        return open_object(path)
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            raise InputError(f"{path}: is a pipe, which can be read once only; give it as standard input: - < {path}")
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}; expected a file of pairs") from error


def open_reader(file: BinaryIO, source: str, found: Format) -> Reader:
    """Return the reader of a format.

    Raises:
        InputError: The file is empty, or is not of that format.
        UsageError: A column stands twice.
    """
    if found.kind == PARQUET:
        from pairlift.formats.parquet import ParquetReader

        return ParquetReader(file, source)
    lines = LineReader(open_decompressed(file, found.compression, source), source)
    if found.delimiter is None:
        return JsonlReader(lines, source)
    return DelimitedReader(lines, source, found.delimiter, found.quoted)


def check_alike(reader: Reader, first: Reader, source: str, first_source: str) -> None:
    """Refuse an input of a job whose columns, or, in Parquet, their types, are not those of the first.

    Raises:
        InputError: With what differs.
    """
    if reader.columns != first.columns:
        found, expected = (", ".join(each.columns or ()) for each in (reader, first))
        raise InputError(
            f"{source}: has columns {found}; expected {expected}, as {first_source} has; score it by itself"
        )
    was, now = getattr(first, "schema", None), getattr(reader, "schema", None)
    if was is not None and now is not None and not was.equals(now):
        before, after = next((a, b) for a, b in zip(was, now, strict=True) if not a.equals(b))
        types = [f"{field.type}{'' if field.nullable else ' not null'}" for field in (after, before)]
        raise InputError(
            f"{source}: column {after.name!r} is {types[0]}; expected {types[1]}, as {first_source} has; score it by itself"
        )


def reopen(file: BinaryIO, found: Format, source: str, place: Place) -> BinaryIO:
    """Return what an open file holds from a place on, uncompressed.

    Raises:
        InputError: It cannot be read up to there.
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
        first: The first rows that can be scored, which decide the types of a Parquet output where the input has no schema.

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
    """Yield the rows of a file; errors as `open_input` and `open_reader`."""
    with open_input(path) as file:
        yield from open_reader(file, path, format_of(path))
