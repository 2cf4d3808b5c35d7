"""Chunks: runs of rows, cut by number and by size, each scored by a pure function of its rows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import orjson

from pairlift.counts import Tally, add_counts
from pairlift.encoder import Pair, check_field
from pairlift.errors import RowError
from pairlift.formats import Row, Writer
from pairlift.formats.row import Span
from pairlift.scorer import WINDOW_ROWS, Pending, Scorer, softmax

CHUNK_ROWS = 2 * WINDOW_ROWS  # for every engine; what a death costs, and what memory is bounded by
CHUNK_BYTES = 4 << 20  # of rows as they stand in the file: a chunk of long rows has fewer of them,
WINDOW_BYTES = 1 << 20  # and so has a window, for its tokens take more memory than its texts
RAW_SHOWN = 2000  # characters of a rejected record that are kept
AnyRow = TypeVar("AnyRow", Row, Row | Span)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What became of a chunk.

    Attributes:
        first: The number of its first row in all inputs, by which it is known.
        tally: What became of its rows.
        source: Sha256 of the rows as they were read.
        output: The part of the output that holds the scored rows.
        rejects: JSON lines of the rejected rows.
    """

    first: int
    tally: Tally
    source: str
    output: bytes
    rejects: bytes


def digest_rows(rows: Sequence[Row]) -> str:
    """Return the sha256 of rows as they stand in the file."""
    return hashlib.sha256("\n".join(row.raw for row in rows).encode(errors="surrogatepass")).hexdigest()


def take_rows(rows: Iterator[AnyRow], most: int, most_bytes: int) -> tuple[list[AnyRow], int]:
    """Take rows up to a number or, as soon as they have so many bytes, fewer; return them and their bytes."""
    taken: list[AnyRow] = []
    size = 0
    while len(taken) < most and size < most_bytes:
        row = next(rows, None)
        if row is None:
            break
        taken.append(row)
        size += len(row.raw) if row.start is None or row.end is None else row.end - row.start
    return taken, size


def take_windows(rows: Iterator[AnyRow], first: int) -> Iterator[list[AnyRow]]:
    """Yield the windows of one chunk.

    A chunk ends at each multiple of `CHUNK_ROWS`, and before it when it has `CHUNK_BYTES`: so where the first kind of end is
    follows from the number of rows alone.

    Args:
        rows: From the chunk's first row on.
        first: The number of that row.
    """
    left, size = CHUNK_ROWS - first % CHUNK_ROWS, 0
    while left and size < CHUNK_BYTES:
        taken, more = take_rows(rows, min(WINDOW_ROWS, left), WINDOW_BYTES)
        if not taken:
            return
        left, size = left - len(taken), size + more
        yield taken


def score_chunks(
    scorer: Scorer,
    rows: Iterator[Row],
    first: int,
    source: str,
    columns: Mapping[str, str],
    writer: Writer,
    raw: bool = True,
    before: int = 0,
) -> Iterator[Chunk]:
    """Score an input's rows chunk by chunk: while one is computed, the one before is written and the next is read.

    Args:
        scorer: A bundle's variant.
        rows: From the first row of the first chunk on.
        first: The number of that row, in its input.
        source: The input's name, for the rejects.
        columns: The column of each field.
        writer: Writes the output's records.
        raw: Whether rejected records are kept.
        before: The rows of the inputs before this one.
    """
    last: _Running | None = None
    while last is None or last.rows:
        running = _Running(scorer, first, rows, columns)
        first += len(running.rows)
        if last is not None:
            yield last.finish(source, writer, raw, before)
        last = running


class _Running:
    """A chunk that is being scored, each window from when it has been read on."""

    def __init__(self, scorer: Scorer, first: int, source: Iterator[Row], columns: Mapping[str, str]) -> None:
        self.rows: list[Row] = []
        self._first = first
        self._labels = scorer.labels
        self._temperature = scorer.temperature
        self._good: list[Row] = []
        self._errors: dict[int, RowError] = {}
        self._windows: list[Pending] = []
        for taken in take_windows(source, first):
            self.rows += taken
            self._windows.append(scorer.submit(self._read_pairs(taken, columns)))

    def _read_pairs(self, rows: list[Row], columns: Mapping[str, str]) -> list[Pair]:
        pairs = []
        for row in rows:
            try:
                pairs.append(read_pair(row, columns))
            except RowError as error:
                self._errors[row.number] = error.bare()
            else:
                self._good.append(row)
        return pairs

    def finish(self, source: str, writer: Writer, raw: bool, before: int) -> Chunk:
        """Wait for the scores, and return the chunk's records."""
        logits = np.concatenate([window.wait() for window in self._windows])
        finite = np.isfinite(logits).all(axis=1)
        good = self._good
        if not finite.all():
            for i in np.flatnonzero(~finite).tolist():
                self._errors[good[i].number] = RowError(
                    "not_finite", "the model gave a score that is not a finite number"
                )
            logits, good = logits[finite], [good[i] for i in np.flatnonzero(finite).tolist()]
        predictions = [self._labels[i] for i in logits.argmax(axis=1).tolist()]
        written = writer.write(good, predictions, softmax(logits, self._temperature))
        predicted = Counter(predictions)
        for i, error in written.errors.items():
            self._errors[good[i].number] = error
            predicted[predictions[i]] -= 1
        rejected = [(row, self._errors[row.number]) for row in self.rows if row.number in self._errors]
        return Chunk(
            first=before + self._first,
            tally=Tally(
                rows=len(self.rows),
                scored=len(self.rows) - len(rejected),
                rejected=dict(sorted(Counter(error.reason for _, error in rejected).items())),
                predicted={label: predicted[label] for label in self._labels},
                texts=add_counts(window.counts for window in self._windows),
            ),
            source=digest_rows(self.rows),
            output=written.output,
            rejects=b"".join(_describe_reject(source, row, error, raw) for row, error in rejected),
        )


def read_pair(row: Row, columns: Mapping[str, str]) -> Pair:
    """Return the two texts of a row.

    Raises:
        RowError: It cannot be scored.
    """
    if row.error is not None:
        raise row.error
    texts = []
    for column in columns.values():
        if column not in row.values:
            raise RowError("missing_field", f"no key {column!r}")
        texts.append(check_field(row.values[column], column))
    return texts[0], texts[1]


def _describe_reject(source: str, row: Row, error: RowError, raw: bool) -> bytes:
    described: dict[str, object] = {
        "source": source,
        "row": row.number,
        "line": row.line,
        "bytes": None if row.start is None else (row.start, row.end),
        "reason": error.reason,
        "detail": error.detail,
    }
    if raw:
        described["raw"] = row.raw[:RAW_SHOWN].encode(errors="backslashreplace").decode()
    return orjson.dumps(described, option=orjson.OPT_APPEND_NEWLINE)
