"""Chunks: runs of rows by number, each scored by a pure function of its rows."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import orjson

from pairlift.encoder import Pair, check_text
from pairlift.errors import RowError
from pairlift.formats import Row, Writer
from pairlift.formats.compression import compress
from pairlift.scorer import WINDOW_ROWS, Pending, Probabilities, Scorer, softmax

CHUNK_ROWS = 2 * WINDOW_ROWS  # for every engine; what a death costs, and what memory is bounded by
RAW_SHOWN = 2000  # characters of a rejected record that are kept


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What became of a chunk.

    Attributes:
        number: From 0.
        rows: How many it has.
        scored: How many of them are in `output`.
        rejected: The others by reason.
        source: Sha256 of the rows as they were read.
        output: The records of the output, without a header.
        rejects: JSON lines of the rejected rows.
    """

    number: int
    rows: int
    scored: int
    rejected: Mapping[str, int]
    source: str
    output: bytes
    rejects: bytes


def digest_rows(rows: Sequence[Row]) -> str:
    """Return the sha256 of rows as they stand in the file."""
    return hashlib.sha256("\n".join(row.raw for row in rows).encode(errors="surrogatepass")).hexdigest()


def score_chunks(
    scorer: Scorer,
    rows: Iterator[Row],
    first: int,
    source: str,
    columns: Mapping[str, str],
    writer: Writer,
    compression: str = "",
    raw: bool = True,
) -> Iterator[Chunk]:
    """Score rows chunk by chunk: while one is computed, the one before is written and the next is read.

    Args:
        scorer: A bundle's variant.
        rows: From the first row of the first chunk on.
        first: The number of that chunk.
        source: The input's name, for the rejects.
        columns: The column of each field.
        writer: Writes the output's records.
        compression: What they are packed by, chunk by chunk.
        raw: Whether rejected records are kept.
    """
    before: _Running | None = None
    for number in itertools.count(first):
        running = _Running(scorer, number, rows, columns)
        if before is not None:
            yield before.finish(source, writer, compression, raw)
        if not running.rows:
            return
        before = running


class _Running:
    """A chunk that is being scored, each window from when it has been read on."""

    def __init__(self, scorer: Scorer, number: int, source: Iterator[Row], columns: Mapping[str, str]) -> None:
        self.rows: list[Row] = []
        self._number = number
        self._labels = scorer.labels
        self._errors: dict[int, RowError] = {}
        self._windows: list[Pending] = []
        while taken := list(itertools.islice(source, min(WINDOW_ROWS, CHUNK_ROWS - len(self.rows)))):
            self.rows += taken
            self._windows.append(scorer.submit(self._read_pairs(taken, columns)))

    def _read_pairs(self, rows: list[Row], columns: Mapping[str, str]) -> list[Pair]:
        pairs = []
        for row in rows:
            try:
                pairs.append(_read_pair(row, columns))
            except RowError as error:
                self._errors[row.number] = error
        return pairs

    def finish(self, source: str, writer: Writer, compression: str, raw: bool) -> Chunk:
        """Wait for the scores, and return the chunk's records."""
        scores = itertools.chain.from_iterable(_read_scores(window.wait()) for window in self._windows)
        rejected: Counter[str] = Counter()
        output: list[bytes] = []
        rejects: list[bytes] = []
        for row in self.rows:
            error = self._errors.get(row.number)
            try:
                if error is not None:
                    raise error
                score = next(scores)
                if not score.finite:
                    raise RowError("not_finite", "the model gave a score that is not a finite number")
                output.append(writer.write(row, self._labels[score.label], score.probabilities))
            except RowError as problem:
                rejected[problem.reason] += 1
                rejects.append(_describe_reject(source, row, problem, raw))
        return Chunk(
            number=self._number,
            rows=len(self.rows),
            scored=len(output),
            rejected=dict(sorted(rejected.items())),
            source=digest_rows(self.rows),
            output=compress(b"".join(output), compression),
            rejects=b"".join(rejects),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Score:
    finite: bool
    label: int
    probabilities: list[str]


def _read_scores(logits: Probabilities) -> list[_Score]:
    finite = np.asarray(np.isfinite(logits).all(axis=1)).tolist()
    return list(map(_Score, finite, logits.argmax(axis=1).tolist(), format_scores(softmax(logits))))


def format_scores(probabilities: Probabilities) -> list[list[str]]:
    """Return each row's probabilities as the shortest decimals that are the same float32."""
    text = orjson.dumps(np.ascontiguousarray(probabilities), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return [row.split(",") for row in text[2:-2].split("],[")] if len(probabilities) else []


def _read_pair(row: Row, columns: Mapping[str, str]) -> Pair:
    if row.error is not None:
        raise row.error
    texts = []
    for column in columns.values():
        if column not in row.values:
            raise RowError("missing_field", f"no key {column!r}")
        texts.append(check_text(row.values[column], column))
    return texts[0], texts[1]


def _describe_reject(source: str, row: Row, error: RowError, raw: bool) -> bytes:
    described: dict[str, object] = {
        "source": source,
        "row": row.number,
        "line": row.line,
        "bytes": (row.start, row.end),
        "reason": error.reason,
        "detail": error.detail,
    }
    if raw:
        described["raw"] = row.raw[:RAW_SHOWN].encode(errors="backslashreplace").decode()
    return orjson.dumps(described, option=orjson.OPT_APPEND_NEWLINE)
