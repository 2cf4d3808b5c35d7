"""Parity: how far each artefact is from Keras on the same raw texts, and whether that is near enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pairlift.encoder import Pair
from pairlift.errors import AgreementError
from pairlift.packing import Batch
from pairlift.scorer import softmax
from pairlift_export.job import ProofPair

# What the same float32 arithmetic in another order can move a probability by; measured: 3e-7 on 2 layers, 1e-6 on 12.
PROBABILITY_TOLERANCE = 1e-5
# What another batch may move a probability of the same row by: the last bits of float32 near 1.
COMPANION_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenParity:
    """Token ids, masks and segment ids against KerasHub's: pairs compared and pairs equal in all of them."""

    compared: int
    equal: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Absolute differences: the largest, their mean, and two percentiles."""

    max: float
    mean: float
    p99: float
    p999: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A pair whose most probable label changed, with both margins (first minus second probability)."""

    first: str
    second: str
    expected: str
    found: str
    expected_margin: float
    found_margin: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactParity:
    """One artefact against Keras on raw text.

    Attributes:
        logits: Differences of logits.
        probabilities: Differences of probabilities.
        same_label: Pairs with the same most probable label.
        flips: The others.
        smallest_tolerance: The smallest tolerance of probabilities that would have passed.
        tolerance: The one that was held to.
        worst_first, worst_second: The pair with the largest difference.
        accuracy: On the labelled pairs, or None.
        companions: The largest change of a probability between alone and in company, or None when not measured.
    """

    logits: Spread
    probabilities: Spread
    same_label: int
    flips: tuple[Flip, ...]
    smallest_tolerance: float
    tolerance: float
    worst_first: str
    worst_second: str
    accuracy: float | None
    companions: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The certificate, parity.json.

    Attributes:
        pairs: Pairs compared.
        pairs_source: Where the user's pairs are from.
        hard_pairs: How many of them are of the built-in hard corpus.
        keras_accuracy: Of the reference on the labelled pairs, or None.
        tokens: The preprocessing.
        artefacts: `saved_model`, and each variant.
        model_sha256: Of the `.keras` file.
        cpu: The processor.
        versions: Of everything that had a part.
    """

    format: int = 1
    pairs: int
    pairs_source: str
    hard_pairs: int
    keras_accuracy: float | None
    tokens: TokenParity
    artefacts: Mapping[str, ArtefactParity]
    model_sha256: str
    cpu: str
    versions: Mapping[str, str]


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
            f"parity failed at the tokens: {int((~same).sum())} of {len(pairs)} pairs have other {name} than KerasHub's, first "
            f"{pairs[bad][0][:60]!r} / {pairs[bad][1][:60]!r}"
        )
    return TokenParity(compared=len(pairs), equal=int(same.sum()))


def compare_logits(
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    pairs: Sequence[ProofPair],
    labels: tuple[str, ...],
    companions: float | None = None,
) -> ArtefactParity:
    """Compare an artefact's logits with Keras', both float32 of shape (len(pairs), labels)."""
    reference, probabilities = softmax(expected), softmax(found)
    differences = np.abs(reference.astype(np.float64) - probabilities)
    worst = int(np.nan_to_num(differences.max(axis=1), nan=np.inf).argmax())
    before, after = expected.argmax(axis=1), found.argmax(axis=1)
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
        same_label=len(pairs) - len(flips),
        flips=flips,
        smallest_tolerance=float(differences.max()),
        tolerance=PROBABILITY_TOLERANCE,
        worst_first=pairs[worst].first,
        worst_second=pairs[worst].second,
        accuracy=accuracy(after, pairs, labels),
        companions=companions,
    )


def accuracy(predicted: NDArray[np.int64], pairs: Sequence[ProofPair], labels: tuple[str, ...]) -> float | None:
    """Return the share of labelled pairs that are right, or None when none is labelled."""
    right = [labels[p] == pair.label for p, pair in zip(predicted, pairs, strict=True) if pair.label in labels]
    return sum(right) / len(right) if right else None


def check_artefact(name: str, parity: ArtefactParity) -> None:
    """Hold an artefact to its tolerances.

    Raises:
        AgreementError: It is too far from Keras, or its rows depend on their companions.
    """
    if not parity.smallest_tolerance <= parity.tolerance:
        raise AgreementError(
            f"parity failed: {name} is {parity.smallest_tolerance:.2e} from Keras in probability, expected at most "
            f"{parity.tolerance:.0e}; {len(parity.flips)} labels flipped; worst on "
            f"{parity.worst_first[:60]!r} / {parity.worst_second[:60]!r}; no bundle was written"
        )
    if parity.companions is not None and not parity.companions <= COMPANION_TOLERANCE:
        raise AgreementError(
            f"parity failed: a row's probabilities in {name} move by {parity.companions:.2e} with the rows beside it, expected at "
            f"most {COMPANION_TOLERANCE:.0e}; no bundle was written"
        )


def _spread(values: NDArray[np.float64]) -> Spread:
    p99, p999 = np.percentile(values, [99, 99.9])
    return Spread(max=float(values.max()), mean=float(values.mean()), p99=float(p99), p999=float(p999))


def _margin(probabilities: NDArray[np.float32]) -> float:
    second, first = np.sort(probabilities)[-2:]
    return float(first - second)
