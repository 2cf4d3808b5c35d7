"""Calibration: the temperature of a run, in its record and on its card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pairlift import record
from pairlift.staging import storage_errors, sync_directory, write_durably
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
        _replace(path / CARD, format_card(run).encode())
        _replace(path / RUN, record.dump(run))
        sync_directory(path)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    write_durably(temporary, lambda file: file.write(data))
    temporary.replace(path)
