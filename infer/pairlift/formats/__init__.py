"""Files of rows: CSV, TSV and JSON lines, plain or compressed, read and written without changing what is not ours.

A reader yields a `Row` for each record, good or bad; a writer makes bytes of the row with its scores.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pairlift.errors import InputError, UsageError
from pairlift.formats.compression import SUFFIXES, check_compression, open_decompressed
from pairlift.formats.delimited import DelimitedReader, DelimitedWriter
from pairlift.formats.jsonl import JsonlReader, JsonlWriter
from pairlift.formats.lines import LineReader
from pairlift.formats.row import Columns, Reader, Row, Writer

__all__ = ["Columns", "Format", "Reader", "Row", "Writer", "format_of", "make_writer", "open_input", "open_reader"]

KINDS = (".csv", ".tsv", ".jsonl")
STREAM = "-"


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """A file's format by its extensions: `.csv`, `.tsv` or `.jsonl`, and `.gz`, `.zst` or nothing."""

    kind: str
    compression: str = ""

    def __str__(self) -> str:
        return self.kind + self.compression


def format_of(path: str, other: str | None = None) -> Format:
    """Return a file's format by its extensions; a stream has that of the other end, uncompressed, or JSON lines.

    Raises:
        UsageError: The extension is not one of ours, or the extra that it takes is not installed.
    """
    if path == STREAM:
        return Format(format_of(other).kind if other not in (None, STREAM) else ".jsonl")
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in SUFFIXES else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in KINDS:
        raise UsageError(
            f"{path}: found extension {kind + compression or 'none'!r}, expected one of {', '.join(KINDS)}, "
            f"or those with {' or '.join(SUFFIXES)}"
        )
    check_compression(compression, path)
    return Format(kind, compression)


def open_input(path: str) -> BinaryIO:
    """Open a file, or standard input for `-`.

    Raises:
        InputError: It is not there, or cannot be read.
    """
    if path == STREAM:
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}; expected a file of pairs") from error


def open_reader(file: BinaryIO, source: str, found: Format) -> Reader:
    """Return the reader of a format.

    Raises:
        InputError: The file is empty, or is not text of that format.
    """
    lines = LineReader(open_decompressed(file, found.compression, source), source)
    if found.kind == ".jsonl":
        return JsonlReader(lines, source)
    return DelimitedReader(lines, source, "," if found.kind == ".csv" else "\t")


def make_writer(kind: str, columns: Columns) -> Writer:
    """Return the writer of a format.

    Args:
        kind: `.csv`, `.tsv` or `.jsonl`.
        columns: The input's columns (None for JSON lines to JSON lines, which need none) and the added ones.
    """
    if kind == ".jsonl":
        return JsonlWriter(columns)
    return DelimitedWriter("," if kind == ".csv" else "\t", columns)


def read_rows(path: str) -> Iterator[Row]:
    """Yield the rows of a file; errors as `open_input` and `open_reader`."""
    with open_input(path) as file:
        yield from open_reader(file, path, format_of(path))
