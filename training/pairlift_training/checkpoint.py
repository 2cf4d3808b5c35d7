"""Checkpoints: the whole state of a training in one file, which is replaced atomically.

`checkpoint.npz` holds the arrays (weights, the optimiser's, dropout's seeds, sums) and the progress as JSON. The
checksums of the zip format reveal damage. `best-EPOCH.npz` holds the weights of the best epoch so far.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
from pairlift import record
from pairlift.errors import ChangedError, RecordError
from pairlift.storage.durable import replace_file
from pairlift_training.history import Point
from pairlift_training.network import Arrays

CHECKPOINT = "checkpoint.npz"
PROGRESS = "progress"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a training.

    Attributes:
        epoch: The current epoch, counted from 0.
        update: How many updates of that epoch are done.
        seconds: The time spent so far.
        points: The history so far.
        best_epoch: The epoch with the best validation accuracy so far, from 1; 0 before the first has ended.
        best_accuracy: Its validation accuracy.
        best_loss: Its validation loss, which decides between epochs of equal accuracy.
        stopped: Whether it stopped early.
    """

    format: int = 1
    epoch: int = 0
    update: int = 0
    seconds: float = 0.0
    points: tuple[Point, ...] = ()
    best_epoch: int = 0
    best_accuracy: float = 0.0
    best_loss: float = 0.0
    stopped: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The progress of a training, and the arrays that belong to it."""

    progress: Progress
    arrays: Arrays


def write_checkpoint(folder: Path, progress: Progress, arrays: Arrays) -> None:
    """Write a checkpoint durably over the previous one, and delete weights that are no longer the best."""
    _write(folder / CHECKPOINT, {**arrays, PROGRESS: np.frombuffer(record.dump(progress), np.uint8)})
    for file in folder.glob("best-*.npz"):
        if file != best_path(folder, progress.best_epoch):
            file.unlink()


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint of a job, or None if there is none yet.

    Raises:
        ChangedError: The checkpoint is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    arrays = _read(path)
    try:
        progress = record.load(Progress, arrays.pop(PROGRESS).tobytes(), str(path))
    except (KeyError, RecordError) as error:
        raise _changed(path) from error
    return Checkpoint(progress=progress, arrays=arrays)


def write_best(folder: Path, epoch: int, weights: Arrays) -> None:
    """Write the weights of an epoch durably; do this before a checkpoint names the epoch as the best."""
    _write(best_path(folder, epoch), weights)


def read_best(folder: Path, epoch: int) -> Arrays:
    """Return the weights of the best epoch.

    Raises:
        ChangedError: The file is missing or damaged.
    """
    return _read(best_path(folder, epoch))


def best_path(folder: Path, epoch: int) -> Path:
    """Return the file of an epoch's weights."""
    return folder / f"best-{epoch:04d}.npz"


def _write(path: Path, arrays: Arrays) -> None:
    replace_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def _read(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            # Each member is read to its end, so that its checksum is verified.
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
        return {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in members.items()}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise _changed(path) from error


def _changed(path: Path) -> ChangedError:
    return ChangedError(f"{path}: damaged; start over with --restart")
