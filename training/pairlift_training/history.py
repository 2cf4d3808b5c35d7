"""The history of a run: how loss and accuracy went, as rows of a CSV file."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How it stood after an update.

    Attributes:
        epoch: From 1.
        update: From 1, over the whole run.
        learning_rate: Of that update.
        loss: Mean over the training rows since the last point, nats, with dropout.
        accuracy: Likewise.
        validation_loss: At the end of an epoch, without dropout.
        validation_accuracy: Likewise.
        seconds: Since the run began, pauses left out.
    """

    epoch: int
    update: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float


def write_history(path: Path, points: tuple[Point, ...]) -> None:
    """Write the points, one a row; what was not measured is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Point)])
        writer.writerows(dataclasses.astuple(point) for point in points)
