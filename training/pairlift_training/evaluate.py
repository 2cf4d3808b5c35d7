"""Evaluation of a run or a bundle on labelled pairs."""

from __future__ import annotations

from pathlib import Path

from pairlift.bundle import Bundle
from pairlift.errors import UsageError
from pairlift.manifest import MANIFEST
from pairlift.metrics import Metrics, measure
from pairlift.scorer import Scorer
from pairlift_training.data import Rows, read_data
from pairlift_training.labels import check_labels, label_places
from pairlift_training.run import MODEL, RUN, read_run


def evaluate(model: Path, data: str, columns: str | None, label: str | None, variant: str) -> Metrics:
    """Return the metrics of a run directory or a bundle on labelled data.

    Args:
        model: The directory.
        data: As `read_data`.
        columns: As the option `--fields`.
        label: The label's column.
        variant: The bundle's variant.

    Raises:
        UsageError: The directory is neither.
        InputError, BundleError: As `read_data`, `read_run` and `Bundle.open`.
    """
    if (model / RUN).is_file():
        run = read_run(model)
        rows = _read(data, run.fields, columns, label, run.labels)
        from pairlift_training.classifier import load_classifier
        from pairlift_training.predict import predict_probabilities

        probabilities = predict_probabilities(load_classifier(model / MODEL), rows.pairs)
        labels = run.labels
    elif (model / MANIFEST).is_file() or model.is_dir():
        bundle = Bundle.open(model)
        labels = bundle.manifest.labels
        rows = _read(data, bundle.manifest.fields, columns, label, labels)
        scorer = Scorer(bundle, variant)
        probabilities = scorer.score(rows.pairs)
        scorer.close()
    else:
        raise UsageError(f"{model}: expected a run directory (holds {RUN}) or a bundle (holds {MANIFEST})")
    return measure(probabilities, label_places(rows.labels, labels), labels)


def _read(data: str, fields: tuple[str, ...], columns: str | None, label: str | None, labels: tuple[str, ...]) -> Rows:
    rows = read_data(data, fields, columns, label)
    check_labels(rows.labels, labels, rows.source)
    return rows
