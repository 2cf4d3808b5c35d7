"""Results: the scores of each pair, or the reason why it has none."""

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
        probabilities: The probability of each label, in the model's order: the shortest decimal that gives the same
            float32, as in a file of scores.
    """

    prediction: str
    probabilities: Mapping[str, float]


class Checked:
    """Items that are read as pairs, and the outcome of each.

    Attributes:
        good: The numbers of the items that can be scored, from 0, in order.
        errors: Why the other items cannot be scored, by number.
    """

    def __init__(self) -> None:
        self.good: list[int] = []
        self.errors: dict[int, RowError] = {}

    def read(self, items: Iterable[Item], read: Callable[[Item], Pair]) -> list[Pair]:
        """Read the next items, and return the pairs that can be scored.

        Args:
            items: The items, in order.
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
        """Reject pairs whose scores are not finite, and return the scores of the others; `good` then lists only these.

        Args:
            logits: The logits of all pairs that were read, float32, shape (len(good), n_labels).
            probabilities: The probabilities of these pairs, of the same dtype and shape.

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
        """Return the outcome of each item, in order, given what `settle` returned."""
        found: dict[int, Result | RowError] = {**self.errors}
        # Converting to JSON and back turns a float32 into the shortest decimal that gives the same float32.
        numbers = orjson.loads(orjson.dumps(probabilities, option=orjson.OPT_SERIALIZE_NUMPY))
        for i, place, row in zip(self.good, best.tolist(), numbers, strict=True):
            found[i] = Result(prediction=labels[place], probabilities=dict(zip(labels, row, strict=True)))
        return [found[i] for i in range(len(found))]
