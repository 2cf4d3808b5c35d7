"""Rows, divided into chunks and windows by number and size, and their checksum."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pairlift.encoding.encoder import WINDOW_ROWS, Pair
from pairlift.encoding.pairs import check_pair
from pairlift.formats import Row
from pairlift.formats.row import Span

CHUNK_ROWS = 2 * WINDOW_ROWS  # for every engine; bounds the memory, and the work that a kill loses
CHUNK_BYTES = 4 << 20  # of rows as they are in the file; a chunk of long rows has fewer rows
WINDOW_BYTES = 1 << 20  # the same for a window, because its tokens take more memory than its texts
AnyRow = TypeVar("AnyRow", Row, Row | Span)


@dataclasses.dataclass(frozen=True, slots=True)
class RowStream:
    """The rows of a lot, or of a chunk of it.

    Attributes:
        rows: The rows, in order.
        begun: One entry for each input that has been begun: the number of its first row, counted from the stream's
            first row, and the input's name as it is shown.
    """

    rows: Iterator[Row]
    begun: list[tuple[int, str]]

    def source_of(self, number: int) -> str:
        """Return the name of the input that contains a row."""
        return self.begun[bisect.bisect_right(self.begun, number, key=lambda each: each[0]) - 1][1]


def digest_rows(rows: Sequence[Row]) -> str:
    """Return the SHA-256 of rows as they are in the file."""
    return hashlib.sha256("\n".join(row.raw for row in rows).encode(errors="surrogatepass")).hexdigest()


def take_rows(rows: Iterator[AnyRow], most: int, most_bytes: int) -> tuple[list[AnyRow], int]:
    """Take at most `most` rows, or fewer as soon as they reach `most_bytes`; return them and their size in bytes."""
    taken: list[AnyRow] = []
    size = 0
    while len(taken) < most and size < most_bytes:
        row = next(rows, None)
        if row is None:
            break
        taken.append(row)
        size += len(row.raw) if row.start is None or row.end is None else row.end - row.start
    return taken, size


def take_windows(rows: Iterator[AnyRow], first: int, chunk_rows: int) -> Iterator[list[AnyRow]]:
    """Yield the windows of one chunk.

    A chunk ends at each multiple of `chunk_rows`, or earlier if it has reached `CHUNK_BYTES`. So the ends of the first
    kind depend only on the number of rows.

    Args:
        rows: The rows, beginning with the chunk's first.
        first: The number of that row in its lot.
        chunk_rows: Rows per chunk.
    """
    left, size = chunk_rows - first % chunk_rows, 0
    while left and size < CHUNK_BYTES:
        taken, more = take_rows(rows, min(WINDOW_ROWS, left), WINDOW_BYTES)
        if not taken:
            return
        left, size = left - len(taken), size + more
        yield taken


def read_pair(row: Row, columns: Mapping[str, str]) -> Pair:
    """Return the two texts of a row.

    Raises:
        RowError: The row cannot be scored.
    """
    if row.error is not None:
        raise row.error
    return check_pair(row.values, columns.values())
