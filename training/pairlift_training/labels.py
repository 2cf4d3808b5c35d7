"""Labels: their names, and the order of the head's outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pairlift.errors import InputError
from pairlift.inputs.labelled import check_labels

NLI_LABELS = ("entailment", "neutral", "contradiction")


def order_labels(
    found: list[str], source: str, names: tuple[str, ...] | None, given: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Return the label names in the order of the head's outputs: those given, the data set's own, NLI's, or sorted.

    Args:
        found: The labels of the rows.
        source: The data's name, for messages.
        names: The data set's own label names, or None.
        given: The user's label names in order, or None.

    Raises:
        InputError: There are fewer than two labels, or a row's label is not among those given.
    """
    if given is not None:
        check_labels(found, given, source)
        return given
    if names is not None:
        return names
    kinds = set(found)
    if len(kinds) < 2:
        raise InputError(f"{source}: found one label, {next(iter(kinds))!r}, expected two or more")
    return NLI_LABELS if kinds <= set(NLI_LABELS) else tuple(sorted(kinds))


def label_places(found: list[str], labels: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index of each row's label in the head's outputs, int64, shape (len(found),)."""
    places = {label: i for i, label in enumerate(labels)}
    return np.array([places[label] for label in found], np.int64)
