"""Golden pairs: some pairs with the model's scores at the export, which this machine must reproduce."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from pairlift.choices import FP32
from pairlift.encoding.encoder import Pair
from pairlift.errors import AgreementError, BundleError, RecordError
from pairlift.model.bundle import Bundle
from pairlift.model.manifest import GOLDEN
from pairlift.model.scorer import Probabilities, Scorer
from pairlift.record import load

# Added to the variant's tolerance, because another CPU may add numbers in another order: probabilities of float32
# graphs differed by at most 3e-7 between the onnxruntime kernels that were compared.
CPU_MARGIN = 1e-5
FIRST_ROWS = 8  # golden pairs that `score` replays before its first row


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPair:
    """A pair, its token ids without padding, and each variant's probabilities."""

    format: int = 1
    first: str
    second: str
    token_ids: tuple[int, ...]
    probabilities: Mapping[str, tuple[float, ...]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay that passed: pairs compared, the largest difference of a probability, and its bound."""

    variant: str
    pairs: int
    max_difference: float
    tolerance: float


def make_golden(
    pairs: Sequence[Pair], token_ids: Sequence[tuple[int, ...]], scores: Mapping[str, Probabilities]
) -> list[GoldenPair]:
    """Return golden pairs from their texts, token ids, and each variant's probabilities, shape (len(pairs), labels)."""
    return [
        GoldenPair(
            first=first,
            second=second,
            token_ids=ids,
            probabilities={name: tuple(float(p) for p in found[i]) for name, found in scores.items()},
        )
        for i, ((first, second), ids) in enumerate(zip(pairs, token_ids, strict=True))
    ]


def dump_golden(pairs: list[GoldenPair]) -> bytes:
    """Return golden pairs as JSON lines."""
    return b"".join(orjson.dumps(pair, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE) for pair in pairs)


def read_golden(bundle: Bundle, limit: int | None = None) -> list[GoldenPair]:
    """Return the bundle's golden pairs, or the first `limit` of them. Raises what `Bundle.read` raises."""
    lines = bundle.read(GOLDEN).splitlines()[:limit]
    return [load(GoldenPair, line, f"{bundle.at(GOLDEN)}:{i}") for i, line in enumerate(lines, 1)]


def replay(scorer: Scorer, limit: int | None = None) -> Replay:
    """Score the golden pairs on this machine, and compare the results with those of the export.

    Args:
        scorer: The scorer of the variant to check.
        limit: How many pairs; all of them when None.

    Raises:
        AgreementError: A token id differs, or a probability differs by more than the tolerance.
        BundleError: The bundle has no golden pairs for the variant.
    """
    bundle, variant = scorer.bundle, scorer.variant
    golden = read_golden(bundle, limit)
    if not golden or any(variant not in pair.probabilities for pair in golden):
        raise BundleError(f"{bundle.at(GOLDEN)}: no golden pairs for variant {variant}")
    pairs = [(pair.first, pair.second) for pair in golden]
    for pair, found in zip(golden, scorer.token_ids(pairs), strict=True):
        if found != pair.token_ids:
            raise AgreementError(
                f"golden replay: token ids differ from those of the export for {pair.first[:40]!r} / {pair.second[:40]!r}; "
                "check the installed version of tokenizers"
            )
    expected = np.array([pair.probabilities[variant] for pair in golden], np.float64)
    if expected.shape[1:] != (len(scorer.labels),):
        raise RecordError(
            f"{bundle.at(GOLDEN)}: found {expected.shape[1:]} probabilities, expected {len(scorer.labels)}"
        )
    difference = np.abs(scorer.score(pairs) - expected).max(axis=1)
    tolerance = bundle.manifest.variants[variant].tolerance + CPU_MARGIN
    worst = int(difference.argmax())
    if not difference[worst] <= tolerance:
        advice = (
            f"use --variant {FP32} here" if variant != FP32 else "onnxruntime computes other values on this machine"
        )
        raise AgreementError(
            f"golden replay: variant {variant} differs by {difference[worst]:.2e} from the export on "
            f"{golden[worst].first[:40]!r}, expected at most {tolerance:.1e}; {advice}"
        )
    return Replay(variant=variant, pairs=len(golden), max_difference=float(difference[worst]), tolerance=tolerance)
