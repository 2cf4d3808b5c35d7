"""Calibration: the temperature of a run, in its record and on its card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pairlift import record
from pairlift.storage.durable import replace_file
from pairlift.storage.staging import storage_errors
from pairlift_training.card import format_card
from pairlift_training.run import CARD, RUN, DataUse, read_run


def calibrate_run(path: Path, temperature: float, data: DataUse) -> None:
    """Write a temperature into a run, in place of one that it may have.

    Args:
        path: The run directory.
        temperature: What logits are to be divided by.
        data: What it was fitted on.

    Raises:
        InputError: As `read_run`.
        StorageError: The run cannot be written.
    """
    run = dataclasses.replace(read_run(path), temperature=temperature, calibrated_on=data)
    with storage_errors(path):
        replace_file(path / CARD, lambda file: file.write(format_card(run).encode()))
        replace_file(path / RUN, lambda file: file.write(record.dump(run)))
