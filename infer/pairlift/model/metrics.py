"""Metrics of a classifier on labelled rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0  # beyond them a model is broken, not badly calibrated
BISECTIONS = 60
CALIBRATION_BINS = 15  # as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
NORMAL_95 = 1.959964  # the normal distribution's quantile for a two-sided interval of 95 %
SMALLEST = 1e-12  # a probability of zero would make the log loss infinite


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassMetrics:
    """Precision, recall and F1 of one class (0 where they are undefined), and its number of rows."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What `pairlift evaluate` prints.

    Attributes:
        rows: Labelled rows.
        correct: Rows whose most probable label is the true one.
        accuracy: correct / rows.
        interval: The 95 % interval of the accuracy, lower and upper bound (Wilson, "Probable inference", 1927).
        log_loss: Mean negative log probability of the true label, nats.
        calibration_error: Expected calibration error over 15 equal bins of confidence.
        classes: One entry for each label, in order.
        confusion: Rows by true label, then by predicted label.
        ablations: The accuracy on changed inputs: `only FIELD`, with the other text empty, and `swapped`, with the two
            texts exchanged. Empty if they were not requested.
    """

    format: int = 2
    rows: int
    correct: int
    accuracy: float
    log_loss: float
    calibration_error: float
    classes: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    interval: tuple[float, ...] = ()
    ablations: Mapping[str, float] = dataclasses.field(default_factory=dict)


def measure(probabilities: NDArray[np.float32], truth: NDArray[np.int64], labels: tuple[str, ...]) -> Metrics:
    """Return the metrics of predictions.

    Args:
        probabilities: Float32, shape (n, n_labels).
        truth: The index of each row's label, shape (n,).
        labels: Label names.
    """
    count = len(labels)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(truth * count + predicted, minlength=count * count).reshape(count, count)
    chosen = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    correct = int((predicted == truth).sum())
    return Metrics(
        rows=len(truth),
        correct=correct,
        accuracy=_ratio(correct, len(truth)),
        log_loss=float(-np.log(np.maximum(chosen, SMALLEST)).mean()) if len(truth) else 0.0,
        calibration_error=_calibration_error(probabilities.max(axis=1), predicted == truth),
        classes=tuple(_measure_class(label, i, confusion) for i, label in enumerate(labels)),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        interval=_interval(correct, len(truth)),
    )


def format_metrics(metrics: Metrics) -> str:
    """Return the metrics as a table for a terminal."""
    width = max(9, *(len(c.label) for c in metrics.classes))
    lines = [
        f"rows               {metrics.rows}",
        f"accuracy           {metrics.accuracy:.4f} ({metrics.correct} right"
        + (f"; 95 % interval {metrics.interval[0]:.4f} to {metrics.interval[1]:.4f})" if metrics.interval else ")"),
        f"log loss           {metrics.log_loss:.4f}",
        f"calibration error  {metrics.calibration_error:.4f}",
        *(f"{name:<17}  {accuracy:.4f}" for name, accuracy in metrics.ablations.items()),
        "",
        f"{'label':<{width}}  precision  recall      f1    rows",
    ]
    for c in metrics.classes:
        lines.append(f"{c.label:<{width}}  {c.precision:9.4f}  {c.recall:6.4f}  {c.f1:6.4f}  {c.rows:6d}")
    lines += ["", f"{'true, predicted':<{max(width, 16)}}" + "".join(f"  {c.label:>{width}}" for c in metrics.classes)]
    for c, row in zip(metrics.classes, metrics.confusion, strict=True):
        lines.append(f"{c.label:<{max(width, 16)}}" + "".join(f"  {n:>{width}}" for n in row))
    return "\n".join(lines)


def _measure_class(label: str, i: int, confusion: NDArray[np.int64]) -> ClassMetrics:
    hits = int(confusion[i, i])
    precision = _ratio(hits, int(confusion[:, i].sum()))
    recall = _ratio(hits, int(confusion[i].sum()))
    f1 = _ratio(2 * precision * recall, precision + recall)
    return ClassMetrics(label=label, precision=precision, recall=recall, f1=f1, rows=int(confusion[i].sum()))


def _interval(correct: int, rows: int) -> tuple[float, ...]:
    if not rows:
        return (0.0, 1.0)
    square, share = NORMAL_95**2, correct / rows
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = NORMAL_95 / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return (max(0.0, middle - half), min(1.0, middle + half))


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the temperature that minimises the log loss of logits on labelled rows.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. The log loss is convex in
    1 / temperature, so its minimum is found by bisecting its derivative.

    Args:
        logits: Float32, shape (n, n_labels).
        truth: The index of each row's label, shape (n,).
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    chosen = wide[np.arange(len(truth)), truth]
    low, high = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        weights = np.exp(wide * middle)
        expected = (weights * wide).sum(axis=1) / weights.sum(axis=1)
        if (expected - chosen).mean() > 0:
            high = middle
        else:
            low = middle
    return float(1 / math.sqrt(low * high))


def _calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    if not len(confidence):
        return 0.0
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = [
        abs(float(confidence[bins == b].mean() - right[bins == b].mean())) * (bins == b).sum() for b in np.unique(bins)
    ]
    return float(sum(gaps) / len(confidence))


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0
