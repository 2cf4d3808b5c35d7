"""Results: for each pair its scores, or the reason why it has none."""

from __future__ import annotations

import contextlib
import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.encoder import Pair, check_field
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


def check_pair(pair: Any, names: Iterable[str], check: Callable[[object, str], str] = check_field) -> Pair:
    """Return the two texts of a pair.

    Args:
        pair: A mapping, a row or an object with both names; or two texts in the order of the names.
        names: Of the first and of the second text.
        check: What is asked of each text; `check_field`, or `check_text`, which lets NUL pass.

    Raises:
        RowError: It is no pair (`not_a_pair`), a mapping without one of the names (`missing_field`), or has a text that cannot be
            scored.
    """
    first, second = names
    texts = _take_texts(pair, first, second)
    return check(texts[0], first), check(texts[1], second)


def _take_texts(pair: Any, first: str, second: str) -> tuple[Any, Any]:
    if type(pair) is dict or isinstance(pair, Mapping):  # the former is known sooner
        if first in pair and second in pair:
            return pair[first], pair[second]
        raise RowError("missing_field", f"no key {second if first in pair else first!r}")
    found = type(pair).__name__
    if not isinstance(pair, str | bytes | bytearray):  # which are sequences too
        if type(pair) not in (tuple, list):
            for take in (operator.getitem, getattr):  # rows of databases and tables; named tuples and other objects
                with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
                    return take(pair, first), take(pair, second)
        if hasattr(pair, "__getitem__") and hasattr(pair, "__len__"):  # a set has no order
            if len(pair) == 2:
                one, two = pair
                return one, two
            found += f" of {len(pair)}"
    raise RowError("not_a_pair", f"found {found}, expected two texts, or an object with {first} and {second}")
