"""Files of rows: CSV, TSV and JSON lines, read and written without changing what is not ours.

A reader yields a `Row` for each record, good or bad; a writer takes the row back with the scores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pairlift.errors import InputError, UsageError
from pairlift.formats.delimited import DelimitedReader, DelimitedWriter
from pairlift.formats.jsonl import JsonlReader, JsonlWriter
from pairlift.formats.row import Columns, Reader, Row, Writer

__all__ = ["Columns", "Reader", "Row", "Writer", "format_of", "make_writer", "open_input", "open_reader"]

FORMATS = (".csv", ".tsv", ".jsonl")
STREAM = "-"


def format_of(path: str, other: str | None = None) -> str:
    """Return a file's format by its extension; a stream has that of the other end, or JSON lines.

    Raises:
        UsageError: The extension is not one of ours.
    """
    if path == STREAM:
        return format_of(other) if other not in (None, STREAM) else ".jsonl"
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: found extension {suffix or 'none'!r}, expected one of {', '.join(FORMATS)}")
    return suffix


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


def open_reader(file: BinaryIO, source: str, kind: str) -> Reader:
    """Return the reader of a format.

    Raises:
        InputError: The file is empty, or is not text of that format.
    """
    if kind == ".jsonl":
        return JsonlReader(file, source)
    return DelimitedReader(file, source, "," if kind == ".csv" else "\t")


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
