"""Scoring in the user's own pipeline: a callable for `Dataset.map_batches` of Ray Data.

    from pairlift.ray.dataset import DatasetScorer

    scored = ray.data.read_parquet("s3://bucket/pairs/").map_batches(
        DatasetScorer, fn_constructor_args=["s3://bucket/bundle"], batch_size=2048,
        compute=ray.data.ActorPoolStrategy(size=8), num_cpus=1,
    )

It guarantees less than a job: rows come in Ray's order, and there is no rejects file and no manifest. The column
`error` says why a row could not be scored. The low bits of a score may depend on how Ray divides the rows into batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairlift.choices import FP32
from pairlift.encoding.pairs import check_pair
from pairlift.errors import UsageError
from pairlift.formats.fields import map_fields
from pairlift.model.results import Checked
from pairlift.model.scorer import Scorer, softmax

ERROR = "error"


class DatasetScorer:
    """Adds `prediction`, `p_<label>` and `error` to batches of columns."""

    def __init__(self, bundle: str, fields: str | None = None, variant: str = FP32, threads: int = 1) -> None:
        """Load a bundle.

        Args:
            bundle: A directory that every machine can read, or `s3://bucket/prefix`.
            fields: The columns of the two texts, in the form of the option `--fields`.
            variant: The variant of the graph.
            threads: Batches computed at once; should equal `num_cpus`.
        """
        self._scorer = Scorer.open(bundle, variant, threads)
        self._columns = map_fields(fields, self._scorer.bundle.manifest.fields)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Score a batch.

        Args:
            batch: Columns by name, each of shape (rows,).

        Returns:
            The same columns, and `prediction` (None for a row with an error), float32 `p_<label>` (NaN for a row with
            an error) and `error` (`reason: detail`, None for a row without an error).

        Raises:
            UsageError: A column is missing, or already has the name of an added column.
        """
        labels = self._scorer.labels
        added = ["prediction", *(f"p_{label}" for label in labels), ERROR]
        missing = [column for column in self._columns.values() if column not in batch]
        taken = [name for name in added if name in batch]
        if missing or taken:
            what = f"no column {missing[0]!r}" if missing else f"a column {taken[0]!r} already"
            raise UsageError(f"the batch has {what}; it has {', '.join(batch)}; say which with fields, or rename it")
        count = len(next(iter(batch.values())))
        names, checked = self._columns.values(), Checked()
        texts = zip(*(batch[name] for name in names), strict=True)
        pairs = checked.read(texts, lambda pair: check_pair(pair, names))
        logits = self._scorer.logits(pairs)
        best, found = checked.settle(logits, softmax(logits, self._scorer.temperature))
        probabilities = np.full((count, len(labels)), np.nan, np.float32)
        predictions, errors = np.full(count, None, object), np.full(count, None, object)
        probabilities[checked.good] = found
        predictions[checked.good] = np.array(labels, object)[best]
        for i, error in checked.errors.items():
            errors[i] = str(error)
        scores = {f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)}
        return {**batch, "prediction": predictions, **scores, ERROR: errors}
