"""Readers and writers of CSV, TSV, JSON lines and Parquet files, which leave the input's data unchanged.

A reader yields a `Row` for each record, valid or not. A writer turns rows and their scores into parts of a file.
"""

from pairlift.formats.files import check_alike, make_writer, open_reader, read_rows, reopen
from pairlift.formats.format import KINDS, PARQUET, Format, format_of
from pairlift.formats.row import Columns, Place, Reader, Row, Writer

__all__ = [
    "KINDS", "PARQUET", "Columns", "Format", "Place", "Reader", "Row", "Writer", "check_alike", "format_of", "make_writer",
    "open_reader", "read_rows", "reopen",
]  # fmt: skip
