"""Parity: the differences between Keras and an artefact on the same raw texts, and whether they are small enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.encoder import Pair
from pairlift.encoding.packing import Batch
from pairlift.errors import AgreementError
from pairlift.model.scorer import softmax
from pairlift_export.certificate import ArtefactParity, Counts, Flip, Gate, Spread, TokenParity
from pairlift_training.run import LabelledPair

# More than the same float32 arithmetic in another order changes a probability; measured: 3e-7 on 2 layers, 1e-6 on 12.
PROBABILITY_TOLERANCE = 1e-5
# How much a row's probability may change with its batch: the last bits of float32 near 1.
COMPANION_TOLERANCE = 1e-6
NO_ACCURACY_GATE = "the accuracy gate was not applied: no pair has one of the model's labels"


def compare_tokens(expected: Mapping[str, NDArray[np.int32]], found: Batch, pairs: Sequence[Pair]) -> TokenParity:
    """Compare the runner's arrays with KerasHub's.

    Raises:
        AgreementError: A pair differs; the message names the first.
    """
    feeds = found.feeds()
    same = np.all([np.all(feeds[name] == expected[name], axis=1) for name in expected], axis=0)
    if not same.all():
        bad = int(np.flatnonzero(~same)[0])
        name = next(n for n in expected if (feeds[n][bad] != expected[n][bad]).any())
        raise AgreementError(
            f"parity failed at the tokens: {int((~same).sum())} of {len(pairs)} pairs have {name} that differ from "
            f"KerasHub's, first {pairs[bad][0][:60]!r} / {pairs[bad][1][:60]!r}"
        )
    return TokenParity(compared=len(pairs), equal=int(same.sum()))


def compare_logits(
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    pairs: Sequence[LabelledPair],
    labels: tuple[str, ...],
    gate: Gate | None = None,
) -> ArtefactParity:
    """Compare an artefact's logits with Keras', both float32 of shape (len(pairs), labels); a gate replaces the tolerance."""
    reference, probabilities = softmax(expected), softmax(found)
    differences = np.abs(reference.astype(np.float64) - probabilities)
    worst = int(np.nan_to_num(differences.max(axis=1), nan=np.inf).argmax())
    before, after = expected.argmax(axis=1), found.argmax(axis=1)
    share, of_keras = accuracy(after, pairs, labels), accuracy(before, pairs, labels)
    flips = tuple(
        Flip(
            first=pairs[i].first,
            second=pairs[i].second,
            expected=labels[before[i]],
            found=labels[after[i]],
            expected_margin=_margin(reference[i]),
            found_margin=_margin(probabilities[i]),
        )
        for i in np.flatnonzero(before != after).tolist()
    )
    return ArtefactParity(
        logits=_spread(np.abs(expected.astype(np.float64) - found)),
        probabilities=_spread(differences),
        differences=tuple(_rounded(differences.max(axis=1))),
        same_label=len(pairs) - len(flips),
        flips=flips,
        agreement=count_pairs(before, after, len(labels)),
        confusion=confuse(after, pairs, labels),
        smallest_tolerance=float(differences.max()),
        tolerance=None if gate else PROBABILITY_TOLERANCE,
        gate=gate,
        worst_first=pairs[worst].first,
        worst_second=pairs[worst].second,
        accuracy=share,
        drop=None if share is None or of_keras is None else of_keras - share,
    )


def accuracy(predicted: NDArray[np.int64], pairs: Sequence[LabelledPair], labels: tuple[str, ...]) -> float | None:
    """Return the share of labelled pairs that are predicted correctly, or None if no pair is labelled."""
    right = [labels[p] == pair.label for p, pair in zip(predicted, pairs, strict=True) if pair.label in labels]
    return sum(right) / len(right) if right else None


def confuse(predicted: NDArray[np.int64], pairs: Sequence[LabelledPair], labels: tuple[str, ...]) -> Counts:
    """Return how many labelled pairs of each label (rows) were given each label (columns)."""
    known = [
        (labels.index(pair.label), int(p)) for pair, p in zip(pairs, predicted, strict=True) if pair.label in labels
    ]
    truth, found = np.array(known, np.int64).reshape(-1, 2).T
    return count_pairs(truth, found, len(labels))


def count_pairs(rows: NDArray[np.int64], columns: NDArray[np.int64], size: int) -> Counts:
    """Return how often each pair of indices below `size` occurs, as rows of counts."""
    counts = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    return tuple(tuple(int(n) for n in row) for row in counts)


def margins(logits: NDArray[np.float32]) -> tuple[float, ...]:
    """Return each row's first minus its second probability."""
    ordered = np.sort(softmax(logits), axis=1)
    return tuple(_rounded(ordered[:, -1] - ordered[:, -2]))


def find_fault(name: str, parity: ArtefactParity) -> str | None:
    """Return what is wrong with an artefact; None if it is within its tolerance or gate, and rows are independent."""
    return _find_difference(name, parity) or _find_loss(name, parity) or _find_dependence(name, parity)


def _find_difference(name: str, parity: ArtefactParity) -> str | None:
    if parity.tolerance is None:
        return None if np.isfinite(parity.smallest_tolerance) else f"{name} gives scores that are not finite"
    if not parity.smallest_tolerance <= parity.tolerance:
        return (
            f"{name} is {parity.smallest_tolerance:.2e} from Keras in probability, expected at most {parity.tolerance:.0e}; "
            f"{len(parity.flips)} labels flipped; worst on {parity.worst_first[:60]!r} / {parity.worst_second[:60]!r}"
        )
    if parity.variant is None:
        return None
    worst = max(parity.variant.shapes, key=lambda shape: np.nan_to_num(shape.max, nan=np.inf))
    if not worst.max <= parity.tolerance:
        return (
            f"{name} is {worst.max:.2e} from Keras in probability in a batch of {worst.batch} rows of {worst.length} tokens, "
            f"expected at most {parity.tolerance:.0e}"
        )
    return None


def _find_loss(name: str, parity: ArtefactParity) -> str | None:
    if parity.gate is None:
        return None
    pairs = parity.same_label + len(parity.flips)
    share = len(parity.flips) / pairs
    if share > parity.gate.most_flips:
        return (
            f"{name} flips {len(parity.flips)} of {pairs} labels ({share:.1%}), expected at most {parity.gate.most_flips:.1%} "
            "(--max-flips)"
        )
    if parity.drop is not None and parity.drop > parity.gate.most_drop:
        return f"{name} is {parity.drop:.1%} less accurate than Keras, expected at most {parity.gate.most_drop:.1%} (--max-drop)"
    return None


def _find_dependence(name: str, parity: ArtefactParity) -> str | None:
    if parity.variant is None:
        return None
    found = parity.variant.invariance
    moves = [("alone", found.alone), ("in another order", found.order)]
    if (
        parity.tolerance is not None
    ):  # with other padding a quantised row is rounded differently, but the runner never pads so
        moves.append(("with more padding", found.padding))
    for what, moved in moves:
        if not moved <= COMPANION_TOLERANCE:
            return f"a row's probabilities in {name} move by {moved:.2e} {what}, expected at most {COMPANION_TOLERANCE:.0e}"
    return None


def _spread(values: NDArray[np.float64]) -> Spread:
    p99, p999 = np.percentile(values, [99, 99.9])
    return Spread(max=float(values.max()), mean=float(values.mean()), p99=float(p99), p999=float(p999))


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [float(f"{value:.3g}") for value in values.tolist()]


def _margin(probabilities: NDArray[np.float32]) -> float:
    second, first = np.sort(probabilities)[-2:]
    return float(first - second)
