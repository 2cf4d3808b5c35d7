"""The history of a run: loss and accuracy over the updates, as rows of a CSV file."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The state of a training after an update.

    Attributes:
        epoch: The epoch, counted from 1.
        update: The update, counted from 1 over the whole run.
        learning_rate: The learning rate of that update.
        loss: The mean over the training rows since the last point, in nats, with dropout.
        accuracy: The accuracy on the same rows, with dropout.
        validation_loss: The loss on the validation data, at the end of an epoch, without dropout.
        validation_accuracy: The accuracy on the validation data, at the end of an epoch, without dropout.
        seconds: The time since the run began, without interruptions.
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
    """Write one row per point; a value that was not measured is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Point)])
        writer.writerows(dataclasses.astuple(point) for point in points)
