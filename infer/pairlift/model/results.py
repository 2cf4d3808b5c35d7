"""Results: for each pair its scores, or the reason why it has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.encoding.encoder import Pair
from pairlift.errors import RowError

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The scores of a pair.

    Attributes:
        prediction: The most probable label.
        probabilities: Of each label, in the model's order; the shortest decimal that is the same float32, as in a file of scores.
    """

    prediction: str
    probabilities: Mapping[str, float]


class Checked:
    """Items that are read as pairs, and what becomes of them.

    Attributes:
        good: The numbers of those that can be scored, from 0, in order.
        errors: Why the others cannot be, by number.
    """

    def __init__(self) -> None:
        self.good: list[int] = []
        self.errors: dict[int, RowError] = {}

    def read(self, items: Iterable[Item], read: Callable[[Item], Pair]) -> list[Pair]:
        """Read the next items, and return the pairs that can be scored.

        Args:
            items: In order.
            read: Returns an item's pair, or raises a `RowError`.
        """
        pairs = []
        for i, item in enumerate(items, len(self.good) + len(self.errors)):
            try:
                pairs.append(read(item))
            except RowError as error:
                self.errors[i] = error.bare()
            else:
                self.good.append(i)
        return pairs

    def settle(
        self, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Reject the pairs whose scores are not finite, and return those of the others, which `good` then names.

        Args:
            logits: Of all pairs that were read, float32, shape (len(good), n_labels).
            probabilities: Likewise.

        Returns:
            The index of the most probable label, int64, shape (len(good),), and the probabilities, shape (len(good), n_labels).
        """
        finite = np.isfinite(logits).all(axis=1) & np.isfinite(probabilities).all(axis=1)
        if not finite.all():
            for i in np.flatnonzero(~finite).tolist():
                self.errors[self.good[i]] = RowError("not_finite", "the model gave a score that is not a finite number")
            self.good = [self.good[i] for i in np.flatnonzero(finite).tolist()]
            logits, probabilities = logits[finite], probabilities[finite]
        return logits.argmax(axis=1), probabilities

    def collect(
        self, labels: Sequence[str], best: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> list[Result | RowError]:
        """Return what became of each item, in order, out of what `settle` returned."""
        found: dict[int, Result | RowError] = {**self.errors}
        # Through JSON and back, a float is the shortest decimal that is the same float32.
        numbers = orjson.loads(orjson.dumps(probabilities, option=orjson.OPT_SERIALIZE_NUMPY))
        for i, place, row in zip(self.good, best.tolist(), numbers, strict=True):
            found[i] = Result(prediction=labels[place], probabilities=dict(zip(labels, row, strict=True)))
        return [found[i] for i in range(len(found))]
