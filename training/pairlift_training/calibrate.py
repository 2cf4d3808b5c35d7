"""Calibration: writes a temperature into a run's record and card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pairlift import record
from pairlift.storage.durable import replace_file
from pairlift.storage.staging import storage_errors
from pairlift_training.card import format_card
from pairlift_training.run import CARD, RUN, DataUse, read_run


def calibrate_run(path: Path, temperature: float, data: DataUse) -> None:
    """Write a temperature into a run, and replace an earlier one.

    Args:
        path: The run directory.
        temperature: The number to divide logits by.
        data: The data that it was fitted on.

    Raises:
        InputError: As `read_run`.
        StorageError: The run cannot be written.
    """
    run = dataclasses.replace(read_run(path), temperature=temperature, calibrated_on=data)
    with storage_errors(path):
        replace_file(path / CARD, lambda file: file.write(format_card(run).encode()))
        replace_file(path / RUN, lambda file: file.write(record.dump(run)))
