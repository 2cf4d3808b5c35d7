"""Windows: rows that are tokenised and sorted together, cut into batches and scored."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from pairlift.encoding.counts import Counts
from pairlift.model.threads import Threads

BATCH_TOKENS = 1024  # larger batches fall out of the cache and are slower (docs/performance.md)


class Pending:
    """A window that is being scored; `counts` holds the statistics of its texts."""

    def __init__(
        self,
        logits: NDArray[np.float32],
        row_of: NDArray[np.int64],
        threads: Threads,
        futures: list[Future[None]],
        counts: Counts,
    ) -> None:
        self.counts = counts
        self._logits = logits
        self._row_of = row_of
        self._threads = threads
        self._futures = futures

    def wait(self) -> NDArray[np.float32]:
        """Return the window's logits, float32, shape (rows, n_labels), rows in input order.

        Raises:
            BundleError: As `Scorer.run`.
            UsageError: The scorer was closed meanwhile.
        """
        self._threads.wait(self._futures)
        return self._logits[self._row_of]


def cut_batches(widths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch: rows of one width, so that the padding of a row depends only on the row.

    Args:
        widths: The number of columns of each row, shape (rows,).
    """
    order = np.argsort(widths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        step = max(1, BATCH_TOKENS // int(widths[rows[0]])) if len(rows) else 1
        yield from (rows[i : i + step] for i in range(0, len(rows), step))
