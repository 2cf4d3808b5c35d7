"""Evaluation of a run or a bundle on labelled pairs, and the calibration of a run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairlift.choices import FP32
from pairlift.encoding.encoder import Pair
from pairlift.errors import UsageError
from pairlift.inputs.labelled import check_labels
from pairlift.model.bundle import Bundle
from pairlift.model.manifest import MANIFEST
from pairlift.model.metrics import Metrics, fit_temperature, measure
from pairlift.model.scorer import Scorer, softmax
from pairlift.storage.url import is_remote
from pairlift_training.calibrate import calibrate_run
from pairlift_training.data import Rows, read_data
from pairlift_training.labels import label_places
from pairlift_training.run import MODEL, RUN, read_run

Logits = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model to evaluate: a function from pairs to logits, and what its outputs and segments mean."""

    logits: Callable[[list[Pair]], Logits]
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    temperature: float


def evaluate(
    model: str | Path,
    data: str,
    columns: str | None = None,
    label: str | None = None,
    variant: str = FP32,
    ablate: bool = False,
    calibrate: bool = False,
) -> Metrics:
    """Return the metrics of a run directory or a bundle on labelled data.

    Args:
        model: The directory; a bundle may be `s3://bucket/prefix`.
        data: As `read_data`.
        columns: As the option `--fields`.
        label: The label's column.
        variant: The bundle's variant.
        ablate: Whether to measure the accuracy with one text alone, and with the two exchanged, too.
        calibrate: Whether to store the temperature with the least log loss on these data in the run first.

    Raises:
        UsageError: The directory is neither a run nor a bundle, or a bundle is to be calibrated.
        InputError, BundleError: As `read_data`, `read_run` and `Bundle.open`.
    """
    model = str(model)
    run = None if is_remote(model) or not (Path(model) / RUN).is_file() else Path(model)
    opened = _open_run(run) if run else _open_bundle(model, variant)
    rows = read_data(data, opened.fields, columns, label)
    check_labels(rows.labels, opened.labels, rows.source)
    truth, logits = label_places(rows.labels, opened.labels), opened.logits(rows.pairs)
    temperature = opened.temperature
    if calibrate:
        if run is None:
            raise UsageError(f"{model}: --calibrate needs a run, not a bundle; calibrate the run, and export it again")
        temperature = fit_temperature(logits, truth)
        calibrate_run(run, temperature, rows.describe())
    metrics = measure(softmax(logits, temperature), truth, opened.labels)
    return dataclasses.replace(metrics, ablations=_ablate(opened, rows, truth)) if ablate else metrics


def _ablate(model: Model, rows: Rows, truth: NDArray[np.int64]) -> dict[str, float]:
    """Return the accuracy with one text alone, and with the two texts exchanged."""
    first, second = model.fields
    seen: dict[str, list[Pair]] = {
        f"only {first}": [(a, "") for a, _ in rows.pairs],
        f"only {second}": [("", b) for _, b in rows.pairs],
        "swapped": [(b, a) for a, b in rows.pairs],
    }
    return {name: float((model.logits(pairs).argmax(axis=1) == truth).mean()) for name, pairs in seen.items()}


def _open_run(path: Path) -> Model:
    from pairlift_training.classifier import load_classifier
    from pairlift_training.predict import predict_logits

    run = read_run(path)
    logits = functools.partial(predict_logits, load_classifier(path / MODEL))
    return Model(logits=logits, labels=run.labels, fields=run.fields, temperature=run.temperature)


def _open_bundle(path: str, variant: str) -> Model:
    if not is_remote(path) and not Path(path).is_dir():
        raise UsageError(f"{path}: expected a run directory (holds {RUN}) or a bundle (holds {MANIFEST})")
    scorer = Scorer(Bundle.open(path), variant)
    manifest = scorer.bundle.manifest
    return Model(logits=scorer.logits, labels=manifest.labels, fields=manifest.fields, temperature=manifest.temperature)
