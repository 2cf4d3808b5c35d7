"""The feed: the batches of each epoch, in an order that depends only on the seed and the epoch."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.packing import Batch
from pairlift_training.batches import Encoded

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """The part of a batch that goes through the network at once.

    Attributes:
        feeds: The network's inputs by name, int32, shape (size, width).
        truth: The index of each row's label, int32, shape (size,).
        weights: The weight of each row in the loss, float32, shape (size,). It is 0 for rows that only fill an
            incomplete batch; the others are scaled so that the mean over the batch is the mean over them.
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
        """The number of batches in an epoch."""
        return -(-len(self._data) // self._size)

    @property
    def rows(self) -> int:
        """The number of rows in an epoch."""
        return len(self._data)

    def epoch(self, number: int) -> list[Rows]:
        """Return the rows of each batch of an epoch: rows of similar length are shuffled, then the batches."""
        random = np.random.default_rng((self._seed, number))
        batches = list(self._data.batches(self._size, random.permutation(len(self._data))))
        return [batches[i] for i in random.permutation(len(batches))]

    def portions(self, rows: Rows, parts: int) -> list[Portion]:
        """Return a batch in equal parts of fixed size."""
        weights = np.zeros(self._size, np.float32)
        weights[: len(rows)] = self._size / len(rows)
        filled = np.resize(rows, self._size)
        feeds = self._data.pack(filled).feeds()
        # The rows of an incomplete batch are dealt out in turn, so that each part has some of them.
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
    """Return rows as a batch of a fixed size, filled up by repeating rows."""
    return data.pack(np.resize(rows, size) if len(rows) < size else rows)
