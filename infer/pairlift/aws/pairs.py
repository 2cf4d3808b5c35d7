"""Pairs in a request, and their answer: one result for each, in order, whatever is wrong with the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.aws.shape import check_keys
from pairlift.encoder import Pair, check_field
from pairlift.errors import RowError, UsageError
from pairlift.scorer import Scorer, softmax


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairsRequest:
    """`{"pairs": […]}`."""

    kind: ClassVar[str] = "pairs"
    pairs: list[Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairsAnswer:
    """The answer to a request for pairs.

    Attributes:
        labels: In the order of the model's outputs.
        results: For each pair `{"prediction", "probabilities": {label: p}}` or `{"error": {"reason", "detail"}}`.
        bundle: The bundle's digest.
        variant: The variant.
    """

    labels: tuple[str, ...]
    results: list[dict[str, Any]]
    bundle: str
    variant: str

    @property
    def rejected(self) -> int:
        """How many pairs have an error."""
        return sum("error" in result for result in self.results)

    def dump(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"labels": list(self.labels), "results": self.results, "bundle": self.bundle, "variant": self.variant}


def read_request(value: Mapping[str, Any], where: str) -> PairsRequest:
    """Read `{"pairs": […]}`; what is wrong with one pair is in the answer.

    Raises:
        UsageError: There is no list of pairs, or another key.
    """
    check_keys(value, ("pairs",), where)
    pairs = value.get("pairs")
    if not isinstance(pairs, list):  # not quoted: it may be somebody's text
        raise UsageError(f"{where}.pairs: found {type(pairs).__name__}, expected a list of pairs")
    return PairsRequest(pairs=pairs)


def score_pairs(scorer: Scorer, request: PairsRequest) -> PairsAnswer:
    """Score the pairs of a request; errors as `Scorer.run`."""
    results: list[dict[str, Any]] = [{}] * len(request.pairs)
    good: list[int] = []
    pairs: list[Pair] = []
    for i, item in enumerate(request.pairs):
        try:
            pairs.append(_read_pair(item, scorer.bundle.manifest.fields))
            good.append(i)
        except RowError as error:
            results[i] = _describe(error)
    logits = scorer.logits(pairs)
    with np.errstate(all="ignore"):
        probabilities = softmax(logits, scorer.temperature)
    finite: NDArray[np.bool_] = np.all(np.isfinite(np.hstack([logits, probabilities])), axis=1)
    # Through JSON and back, a float is the shortest decimal that is the same float32.
    numbers = orjson.loads(orjson.dumps(probabilities, option=orjson.OPT_SERIALIZE_NUMPY))
    for i, row, best, whole in zip(good, numbers, logits.argmax(axis=1).tolist(), finite.tolist(), strict=True):
        if whole:
            results[i] = {
                "prediction": scorer.labels[best],
                "probabilities": dict(zip(scorer.labels, row, strict=True)),
            }
        else:
            results[i] = _describe(RowError("not_finite", "the model gave a score that is not a finite number"))
    return PairsAnswer(labels=scorer.labels, results=results, bundle=scorer.bundle.digest, variant=scorer.variant)


def _read_pair(item: object, fields: Sequence[str]) -> Pair:
    """Return the texts of a pair; raise a `RowError` where there are none that can be scored."""
    if isinstance(item, dict):
        missing = [field for field in fields if field not in item]
        if missing:
            raise RowError("missing_field", f"no key {missing[0]!r}")
        item = [item[field] for field in fields]
    if not isinstance(item, list | tuple) or len(item) != 2:
        found = f"a list of {len(item)}" if isinstance(item, list | tuple) else type(item).__name__
        raise RowError(
            "not_a_pair", f"found {found}, expected an object with {' and '.join(fields)}, or a list of two texts"
        )
    return check_field(item[0], fields[0]), check_field(item[1], fields[1])


def _describe(error: RowError) -> dict[str, Any]:
    return {"error": {"reason": error.reason, "detail": error.detail}}
