"""Score chunks. The result of a chunk is a pure function of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import orjson

from pairlift.encoding.counts import Tally, add_counts
from pairlift.errors import RowError
from pairlift.formats import Row, Writer
from pairlift.inputs.rows import RowStream, digest_rows, read_pair, take_windows
from pairlift.model.results import Checked
from pairlift.model.scorer import Scorer, softmax
from pairlift.model.windows import Pending
from pairlift.names import Key
from pairlift.outputs.records import Chunk

RAW_SHOWN = 2000  # characters of a rejected record that are kept


class Running:
    """A chunk that is being scored while the next one is read. Each window is scored as soon as it is read.

    Attributes:
        rows: The chunk's rows; empty after the last chunk.
    """

    def __init__(
        self, scorer: Scorer, key: Key, stream: RowStream, columns: Mapping[str, str], chunk_rows: int, begin: int = 0
    ) -> None:
        """Read the rows of a chunk, and begin to score them.

        Args:
            scorer: The scorer of a bundle's variant.
            key: The chunk's name.
            stream: The rows, positioned at the chunk's first row.
            columns: The column of each field.
            chunk_rows: Rows per chunk.
            begin: The number of the chunk's first row in the stream.
        """
        self.rows: list[Row] = []
        self._key, self._stream, self._begin = key, stream, begin
        self._labels = scorer.labels
        self._temperature = scorer.temperature
        self._checked = Checked()
        self._windows: list[Pending] = []
        for taken in take_windows(stream.rows, key.row, chunk_rows):
            pairs = self._checked.read(taken, lambda row: read_pair(row, columns))
            self.rows += taken
            self._windows.append(scorer.submit(pairs))

    def finish(self, writer: Writer, raw: bool) -> Chunk:
        """Wait for the scores, and return the chunk's result.

        Args:
            writer: Writes the output's records.
            raw: Whether rejected records are kept.
        """
        logits = np.concatenate([window.wait() for window in self._windows])
        checked = self._checked
        best, probabilities = checked.settle(logits, softmax(logits, self._temperature))
        predictions = [self._labels[i] for i in best.tolist()]
        written = writer.write([self.rows[i] for i in checked.good], predictions, probabilities)
        predicted = Counter(predictions)
        for i, error in written.errors.items():
            checked.errors[checked.good[i]] = error
            predicted[predictions[i]] -= 1
        rejected = sorted(checked.errors.items())
        return Chunk(
            key=self._key,
            tally=Tally(
                rows=len(self.rows),
                scored=len(self.rows) - len(rejected),
                rejected=dict(sorted(Counter(error.reason for _, error in rejected).items())),
                predicted={label: predicted[label] for label in self._labels},
                texts=add_counts(window.counts for window in self._windows),
            ),
            source=digest_rows(self.rows),
            output=written.output,
            rejects=b"".join(self._describe_reject(i, error, raw) for i, error in rejected),
        )

    def _describe_reject(self, i: int, error: RowError, raw: bool) -> bytes:
        row = self.rows[i]
        described: dict[str, object] = {
            "source": self._stream.source_of(self._begin + i),
            "row": row.number,
            "line": row.line,
            "bytes": None if row.start is None else (row.start, row.end),
            "reason": error.reason,
            "detail": error.detail,
        }
        if raw:
            described["raw"] = row.raw[:RAW_SHOWN].encode(errors="backslashreplace").decode()
        return orjson.dumps(described, option=orjson.OPT_APPEND_NEWLINE)
