"""Files of rows: CSV, TSV, JSON lines and Parquet, read and written without changing what is not ours.

A reader yields a `Row` for each record, good or bad; a writer makes parts of a file out of rows with their scores.
"""

from pairlift.formats.files import check_alike, make_writer, open_reader, read_rows, reopen
from pairlift.formats.format import KINDS, PARQUET, Format, format_of
from pairlift.formats.row import Columns, Place, Reader, Row, Writer

__all__ = [
    "KINDS", "PARQUET", "Columns", "Format", "Place", "Reader", "Row", "Writer", "check_alike", "format_of", "make_writer",
    "open_reader", "read_rows", "reopen",
]  # fmt: skip
