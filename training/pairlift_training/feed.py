"""The feed: the batches of each epoch, in an order that follows from the seed and the epoch alone."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.packing import Batch
from pairlift_training.batches import Encoded

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What goes through the network at once.

    Attributes:
        feeds: The network's inputs by name, int32, shape (size, width).
        truth: The place of each row's label, int32, shape (size,).
        weights: What a row counts for, float32, shape (size,): 0 for the rows that only fill an incomplete batch, and
            for the others as much as makes the batch's mean theirs.
    """

    feeds: dict[str, NDArray[np.int32]]
    truth: NDArray[np.int32]
    weights: NDArray[np.float32]


class Feed:
    """A data set as batches for training."""

    def __init__(self, data: Encoded, truth: Rows, size: int, seed: int) -> None:
        self._data, self._truth, self._size, self._seed = data, truth.astype(np.int32), size, seed

    @property
    def updates(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._data) // self._size)

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return len(self._data)

    def epoch(self, number: int) -> list[Rows]:
        """Return the rows of each batch of an epoch: rows are shuffled within their length, then the batches."""
        random = np.random.default_rng((self._seed, number))
        batches = list(self._data.batches(self._size, random.permutation(len(self._data))))
        return [batches[i] for i in random.permutation(len(batches))]

    def portions(self, rows: Rows, parts: int) -> list[Portion]:
        """Return a batch in equal parts of fixed size."""
        weights = np.zeros(self._size, np.float32)
        weights[: len(rows)] = self._size / len(rows)
        filled = np.resize(rows, self._size)
        feeds = self._data.pack(filled).feeds()
        # A batch that is not full is dealt out, so that each part has some of its rows.
        cuts = [slice(part, None, parts) for part in range(parts)]
        return [
            Portion(
                feeds={name: np.ascontiguousarray(values[cut]) for name, values in feeds.items()},
                truth=self._truth[filled[cut]],
                weights=weights[cut],
            )
            for cut in cuts
        ]


def pack_rows(data: Encoded, rows: Rows, size: int) -> Batch:
    """Return rows as a batch of a fixed size, filled up with rows of its own."""
    return data.pack(np.resize(rows, size) if len(rows) < size else rows)
