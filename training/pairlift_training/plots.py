"""The pictures of a run: learning curve, learning rate, confusion matrix."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pairlift.errors import missing_extra
from pairlift.model.metrics import Metrics
from pairlift_training.history import Point

TRAINING, VALIDATION = "#8aa4c8", "#c2452d"
DOTS = 110  # per inch


def check_plots() -> None:
    """Check, before a training begins, that its plots can be drawn.

    Raises:
        UsageError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise missing_extra("train", "training")


def draw_curve(path: Path, points: tuple[Point, ...], kept_epoch: int) -> None:
    """Draw loss and accuracy over the updates, with the epoch that was kept."""
    figure = _make_figure(9, 3.6)
    measured = [p for p in points if p.validation_loss is not None]
    updates = [p.update for p in points]
    for place, what in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        axes.plot(updates, [getattr(p, what) for p in points], color=TRAINING, label="training, with dropout")
        axes.plot(
            [p.update for p in measured], [getattr(p, f"validation_{what}") for p in measured],
            color=VALIDATION, marker="o", markersize=4, label="validation",
        )  # fmt: skip
        kept = next((p for p in measured if p.epoch == kept_epoch), None)
        if kept is not None:
            axes.axvline(kept.update, color="#999999", linewidth=0.8, linestyle=":", label=f"kept: epoch {kept_epoch}")
        axes.set(xlabel="update", ylabel="loss, nats" if what == "loss" else what, title=what.capitalize())
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=DOTS)


def draw_rate(path: Path, points: tuple[Point, ...]) -> None:
    """Draw the learning rate over the updates."""
    figure = _make_figure(6, 3.2)
    axes = figure.add_subplot()
    axes.plot([p.update for p in points], [p.learning_rate for p in points], color=VALIDATION)
    axes.set(xlabel="update", ylabel="learning rate", title="Learning rate")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=DOTS)


def draw_confusion(path: Path, metrics: Metrics, part: str) -> None:
    """Draw the confusion matrix: rows by true label, shares within a row by colour."""
    labels = [c.label for c in metrics.classes]
    figure = _make_figure(2.6 + 0.9 * len(labels), 2.0 + 0.8 * len(labels))
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in metrics.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(metrics.confusion):
        for j, count in enumerate(row):
            axes.text(
                j, i, f"{count:,}\n{shares[i][j]:.1%}", ha="center", va="center", fontsize=8,
                color="white" if shares[i][j] > 0.5 else "black",
            )  # fmt: skip
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=30, ha="right")
    axes.set_yticks(places, labels)
    axes.set(xlabel="predicted", ylabel="true", title=f"{part.capitalize()}: accuracy {metrics.accuracy:.4f}")
    figure.savefig(path, dpi=DOTS)


def _make_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # not pyplot, which would choose a window system

    return Figure(figsize=(width, height), layout="constrained")
