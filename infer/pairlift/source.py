"""The source of a job: an opened input, where its texts are, and the writer that its columns ask for."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import CHUNK_BYTES, CHUNK_ROWS, take_rows
from pairlift.errors import InputError, UsageError
from pairlift.fields import check_columns, map_fields
from pairlift.formats import STREAM, Columns, Format, Reader, Row, Writer
from pairlift.scorer import Scorer


@dataclasses.dataclass(slots=True, kw_only=True)
class Source:
    """An opened input.

    Attributes:
        name: As the user named it.
        file: Its bytes.
        reader: Its reader.
        rows: Its rows, to be taken once.
        columns: The column of each field.
        writer: The writer of the output.
        taken: How many rows have been read.
    """

    name: str
    file: BinaryIO
    reader: Reader
    rows: Iterator[Row]
    columns: Mapping[str, str]
    writer: Writer
    taken: int = 0

    def take(self) -> Iterator[Row]:
        """Yield the rows, counting them."""
        for row in self.rows:
            self.taken += 1
            yield row

    def total(self) -> int | None:
        """Return how many rows there are, or an estimate by the share of the file that is read, or None."""
        if self.reader.count is not None:
            return self.reader.count
        size = 0 if self.name == STREAM else os.fstat(self.file.fileno()).st_size
        return max(self.taken, round(self.taken * size / max(1, self.file.tell()))) if size else None


def open_source(
    scorer: Scorer, file: BinaryIO, name: str, found: Format, written: Format, fields: str | None
) -> Source:
    """Open the rows of a file and decide what the output looks like.

    Args:
        scorer: Whose labels are added.
        file: The input's bytes.
        name: The input's name.
        found: The input's format.
        written: The output's format.
        fields: As the option `--fields`.

    Raises:
        UsageError: A column is missing, taken or stands twice.
        InputError: The input cannot be read.
    """
    reader = formats.open_reader(file, name, found)
    columns = map_fields(fields, scorer.bundle.manifest.fields)
    added = ("prediction", *(f"p_{label}" for label in scorer.labels))
    rows, first, given = iter(reader), list[Row](), reader.columns
    if given is not None:
        check_columns(given, columns, name)
        taken = next((column for column in added if column in given), None)
        if taken:
            raise UsageError(f"{name}: has a column {taken!r} already, which the scores need; rename it in the input")
    else:
        keyless = written.kind == ".jsonl"  # each object keeps its own keys, so the first good row tells enough
        first = _take_first(rows, keyless)
        good = [row for row in first if row.error is None]
        if good:
            check_columns(tuple(good[0].values), columns, f"{name}:{good[0].line}")
        if not keyless:
            given = tuple(key for key in dict.fromkeys(k for row in good for k in row.values) if key not in added)
            beyond = next(rows, None)
            if beyond is not None:
                rows = itertools.chain([beyond], rows)
                if not good:
                    raise InputError(
                        f"{name}: none of the first {len(first)} rows can be read ({first[0].error}), so the columns of the "
                        "output are not known; mend the input, or write JSONL"
                    )
        rows = itertools.chain(first, rows)
    writer = formats.make_writer(written, Columns(given=given, added=added), reader, first)
    return Source(name=name, file=file, reader=reader, rows=rows, columns=columns, writer=writer)


def _take_first(rows: Iterator[Row], one_is_enough: bool) -> list[Row]:
    if not one_is_enough:
        return take_rows(rows, CHUNK_ROWS, CHUNK_BYTES)[0]
    first: list[Row] = []
    while len(first) < CHUNK_ROWS and not (first and first[-1].error is None) and (row := next(rows, None)):
        first.append(row)
    return first
