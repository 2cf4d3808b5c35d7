"""Pairs in a request, and the answer: one result for each pair, in order; a bad pair does not affect the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pairlift.aws.shape import check_keys
from pairlift.errors import RowError, UsageError
from pairlift.model.results import Result
from pairlift.model.scorer import Scorer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairsRequest:
    """`{"pairs": […]}`."""

    kind: ClassVar[str] = "pairs"
    pairs: list[Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairsAnswer:
    """The answer to a request for pairs.

    Attributes:
        labels: The labels in the order of the model's outputs.
        results: For each pair `{"prediction", "probabilities": {label: p}}` or `{"error": {"reason", "detail"}}`.
        bundle: The bundle's digest.
        variant: The variant that scored the pairs.
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
        """Return the answer as JSON values."""
        return {"labels": list(self.labels), "results": self.results, "bundle": self.bundle, "variant": self.variant}


def read_request(value: Mapping[str, Any], where: str) -> PairsRequest:
    """Read `{"pairs": […]}`; an error in a single pair is reported in the answer.

    Raises:
        UsageError: `pairs` is missing or not a list, or there is another key.
    """
    check_keys(value, ("pairs",), where)
    pairs = value.get("pairs")
    if not isinstance(pairs, list):  # not quoted, because it may be a user's text
        raise UsageError(f"{where}.pairs: found {type(pairs).__name__}, expected a list of pairs")
    return PairsRequest(pairs=pairs)


def score_pairs(scorer: Scorer, request: PairsRequest) -> PairsAnswer:
    """Score the pairs of a request; errors as `Scorer.results`."""
    results = [_describe(found) for found in scorer.results(request.pairs)]
    return PairsAnswer(labels=scorer.labels, results=results, bundle=scorer.bundle.digest, variant=scorer.variant)


def _describe(found: Result | RowError) -> dict[str, Any]:
    if isinstance(found, RowError):
        return {"error": {"reason": found.reason, "detail": found.detail}}
    return {"prediction": found.prediction, "probabilities": found.probabilities}
