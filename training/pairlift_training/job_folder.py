"""A training job's directory, `RUN.job`: protected by a lock, and kept until the run is complete.

It contains `lock`, `job.json` (the identity of the job) and the files that `checkpoint` writes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pairlift import record
from pairlift.errors import ChangedError, RecordError
from pairlift.storage.durable import replace_file
from pairlift.storage.staging import storage_errors
from pairlift_training.lock import LOCK, clear_directory, locked_directory, remove_directory
from pairlift_training.recipe import Recipe

JOB = "job.json"
OWN_NAMES = re.compile(r"job\.json|checkpoint\.npz|best-\d+\.npz|\w[\w.-]*\.tmp|\.[\w.-]+\.partial")
UNFINISHED = (".*.partial", "*.tmp")  # left by an interrupted write; the second by an earlier version


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingIdentity:
    """Everything that determines the final weights.

    Attributes:
        recipe: The recipe, overrides included.
        labels: Label names in the order of the head's outputs.
        fields: The fields of a pair in model order.
        data: The sha256 of each data set, by its part.
        tokenizer: The sha256 of the tokenizer.
        backend: The Keras backend.
        versions: The versions of the packages that take part.
    """

    format: int = 1
    recipe: Recipe
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    data: Mapping[str, str]
    tokenizer: str
    backend: str
    versions: Mapping[str, str]

    def difference(self, other: TrainingIdentity) -> str:
        """Return how another identity differs, in words; empty if it does not."""
        before, after = dataclasses.asdict(self), dataclasses.asdict(other)
        of_recipe = _differ(before.pop("recipe"), after.pop("recipe"))
        return ", ".join([*of_recipe, *_differ(before, after)])


def job_path(run: Path) -> Path:
    """Return the directory of the job that makes a run."""
    return run.with_name(f"{run.name}.job")


@contextlib.contextmanager
def open_job(path: Path, identity: TrainingIdentity, restart: bool) -> Iterator[Path]:
    """Hold the lock of a job's directory: a new one, or one that a job of the same identity left.

    If the directory contains no progress when the block ends, it is removed.

    Raises:
        DestinationError: Another process holds the lock, or the name is taken by something else.
        ChangedError: The directory belongs to another job.
        StorageError: The directory cannot be written.
    """
    with storage_errors(path), locked_directory(path, OWN_NAMES, "run"):
        if restart:
            clear_directory(path, JOB)
        try:
            _check(path, identity)
            yield path
        finally:
            if path.exists() and _holds_nothing(path):
                remove_job(path)


def remove_job(path: Path) -> None:
    """Remove a job's directory, the lock last, so that a partly removed directory is still recognised."""
    remove_directory(path, OWN_NAMES, JOB)


def _check(path: Path, identity: TrainingIdentity) -> None:
    for pattern in UNFINISHED:
        for file in path.glob(pattern):
            file.unlink()
    if _holds_nothing(path):
        replace_file(path / JOB, lambda file: file.write(record.dump(identity)))
        return
    try:
        began = record.load(TrainingIdentity, (path / JOB).read_bytes(), str(path / JOB))
    except RecordError as error:
        raise ChangedError(f"{error}; start over with --restart") from None
    changed = began.difference(identity)
    if changed:
        raise ChangedError(
            f"{path}: changed since the training began: {changed}; undo the change, or start over with --restart"
        )


def _holds_nothing(path: Path) -> bool:
    return {file.name for file in path.iterdir()} <= {JOB, LOCK}


def _differ(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [
        f"{name.replace('_', ' ')} (was {_shorten(before[name])}, is {_shorten(after[name])})"
        for name in before
        if before[name] != after[name]
    ]


def _shorten(value: object) -> str:
    text = ", ".join(f"{k} {v[:16]}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 200 else text[:200] + "…"
