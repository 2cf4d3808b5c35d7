"""The source of a job: an opened input, where its texts are, and the writer that its columns ask for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pairlift import chunk, formats
from pairlift.chunk import read_pair, take_rows
from pairlift.errors import InputError, RowError, UsageError
from pairlift.fields import check_columns, map_fields
from pairlift.formats import STREAM, Columns, Format, Reader, Row, Writer
from pairlift.identity import printable
from pairlift.scorer import Scorer
from pairlift.storage import Stamp


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
        stamp: Of the file when it was opened.
        found, written: The formats of the input and of the output.
        fields: As the option `--fields`.
        taken: How many rows have been read.
    """

    name: str
    file: BinaryIO
    reader: Reader
    rows: Iterator[Row]
    columns: Mapping[str, str]
    writer: Writer
    stamp: Stamp
    found: Format
    written: Format
    fields: str | None
    taken: int = 0

    @property
    def shown(self) -> str:
        """The name in the rejects, which does not depend on where the command is run."""
        return printable(Path(self.name).name)

    def take(self) -> Iterator[Row]:
        """Yield the rows, counting them."""
        for row in self.rows:
            self.taken += 1
            yield row

    def total(self) -> int | None:
        """Return how many rows there are, or an estimate by the share of the file that is read, or None."""
        if self.reader.count is not None:
            return self.reader.count
        if self.name == STREAM:
            return None
        return max(self.taken, round(self.taken * self.stamp.size / max(1, self.file.tell())))


def open_source(
    scorer: Scorer, file: BinaryIO, stamp: Stamp, name: str, found: Format, written: Format, fields: str | None
) -> Source:
    """Open the rows of a file and decide what the output looks like.

    Args:
        scorer: Whose labels are added.
        file: The input's bytes.
        stamp: Of the input, taken when it was opened and before anything was read.
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
        reader.check_texts(columns.values())
        taken = next((column for column in added if column in given), None)
        if taken:
            raise UsageError(f"{name}: has a column {taken!r} already, which the scores need; rename it in the input")
    else:
        keyless = written.kind == ".jsonl"  # each object keeps its own keys, so the first good row tells enough
        kept = _take_first(rows, keyless)
        good = next((row for row in kept if row.error is None), None)
        if good:
            check_columns(tuple(good.values), columns, f"{name}:{good.line}")
        first = [row for row in kept if _is_scorable(row, columns)]
        if not keyless:
            given = tuple(key for key in dict.fromkeys(k for row in first for k in row.values) if key not in added)
            beyond = next(rows, None)
            if beyond is not None:
                rows = itertools.chain([beyond], rows)
                if not first:
                    raise InputError(
                        f"{name}: none of the first {len(kept)} rows can be scored ({kept[0].error or 'no texts'}), so the columns "
                        "of the output are not known; mend the input, or write JSONL"
                    )
        rows = itertools.chain(kept, rows)
    writer = formats.make_writer(written, Columns(given=given, added=added), reader, first)
    return Source(
        name=name, file=file, reader=reader, rows=rows, columns=columns, writer=writer, stamp=stamp,
        found=found, written=written, fields=fields,
    )  # fmt: skip


def _take_first(rows: Iterator[Row], one_is_enough: bool) -> list[Row]:
    if not one_is_enough:
        return take_rows(rows, chunk.CHUNK_ROWS, chunk.CHUNK_BYTES)[0]
    first, size = take_rows(rows, 1, chunk.CHUNK_BYTES)
    while first and first[-1].error is not None and len(first) < chunk.CHUNK_ROWS and size < chunk.CHUNK_BYTES:
        taken, more = take_rows(rows, 1, chunk.CHUNK_BYTES)
        if not taken:
            break
        first, size = first + taken, size + more
    return first


def _is_scorable(row: Row, columns: Mapping[str, str]) -> bool:
    try:
        read_pair(row, columns)
    except RowError:
        return False
    return True
