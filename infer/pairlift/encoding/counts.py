"""Counts: the outcomes of a job's rows and statistics of their texts, added up chunk by chunk."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pairlift.encoding.packing import Packing, trim
from pairlift.encoding.tokenizer import Tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Statistics of the rows that were given to the model.

    Attributes:
        truncated: Rows that were longer than the model accepts.
        lost_tokens: Tokens that were cut off these rows.
        duplicates: Rows whose two texts had already occurred in the same window; they are scored once.
        tokens: Tokens of all rows' texts, before truncation.
        unknown_tokens: How many of these are the unknown token.
        cells: Tokens and padding that were fed to the graph.
        padding: How many of these are padding.
    """

    truncated: int = 0
    lost_tokens: int = 0
    duplicates: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    cells: int = 0
    padding: int = 0

    @property
    def unknown_rate(self) -> float:
        """The share of unknown tokens."""
        return self.unknown_tokens / self.tokens if self.tokens else 0.0

    @property
    def padding_rate(self) -> float:
        """The share of padding in what was fed to the graph."""
        return self.padding / self.cells if self.cells else 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The outcomes of rows.

    Attributes:
        rows: Records of the input.
        scored: Rows that are in the output.
        rejected: The other rows, by reason.
        predicted: The scored rows, by their most probable label.
        texts: Statistics of the rows that were given to the model.
    """

    rows: int = 0
    scored: int = 0
    rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)
    predicted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    texts: Counts = dataclasses.field(default_factory=Counts)

    def __add__(self, other: Tally) -> Tally:
        rejected = Counter(self.rejected) + Counter(other.rejected)
        labels = dict.fromkeys((*self.predicted, *other.predicted))
        return Tally(
            rows=self.rows + other.rows,
            scored=self.scored + other.scored,
            rejected=dict(sorted(rejected.items())),
            predicted={label: self.predicted.get(label, 0) + other.predicted.get(label, 0) for label in labels},
            texts=add_counts((self.texts, other.texts)),
        )


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Return the sum of counts."""
    names = [field.name for field in dataclasses.fields(Counts)]
    totals = dict.fromkeys(names, 0)
    for each in counts:
        for name in names:
            totals[name] += getattr(each, name)
    return Counts(**totals)


def count_texts(
    packing: Packing,
    tokens: Tokens,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    row_of: NDArray[np.int64],
    widths: NDArray[np.int64],
    unknown: int | None,
) -> Counts:
    """Return the counts of a window.

    Args:
        packing: How pairs are packed.
        tokens: The texts' tokens.
        first, second: For each distinct pair the indices of its texts, shape (n,).
        row_of: For each row of the window the index of its pair, shape (rows,).
        widths: The columns that each distinct pair is padded to, shape (n,).
        unknown: The id of the unknown token, or None if every word can be encoded.
    """
    repeats = np.bincount(row_of, minlength=len(first))
    whole = tokens.lengths[first] + tokens.lengths[second]
    kept = np.add(*trim(packing, tokens.lengths[first], tokens.lengths[second]))
    found = 0
    if unknown is not None and len(tokens.ids):
        before = np.concatenate([[0], np.cumsum(tokens.ids == unknown)])
        of_text = before[tokens.starts + tokens.lengths] - before[tokens.starts]
        found = int(((of_text[first] + of_text[second]) * repeats).sum())
    return Counts(
        truncated=int(repeats[kept < whole].sum()),
        lost_tokens=int(((whole - kept) * repeats).sum()),
        duplicates=len(row_of) - len(first),
        tokens=int((whole * repeats).sum()),
        unknown_tokens=found,
        cells=int(widths.sum()),
        padding=int((widths - kept - packing.special_tokens).sum()),
    )
