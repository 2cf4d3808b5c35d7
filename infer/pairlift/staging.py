"""Staging: a directory or a file appears whole under its name, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from pairlift.errors import DestinationError, Stopped, StorageError, UsageError
from pairlift.signals import raised_signals


def check_destination(path: Path, marker: str, force: bool) -> None:
    """Refuse a destination that exists, before any work is done for it.

    Args:
        path: The directory to be made.
        marker: The file that shows an existing directory to be one of ours.
        force: Whether one of ours may be replaced.

    Raises:
        DestinationError: It exists and may not be replaced.
        UsageError: It cannot be made where it was asked for.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        raise DestinationError(f"{path}: exists and is not a directory; choose another name")
    if not any(path.iterdir()):
        return
    if not (path / marker).is_file():
        raise DestinationError(
            f"{path}: exists and holds no {marker}, so it is not ours to replace; choose another name"
        )
    if not force:
        raise DestinationError(f"{path}: exists; choose another name, or add --force to replace it")


@contextlib.contextmanager
def staged_directory(path: Path, marker: str, force: bool = False) -> Iterator[Path]:
    """Yield a sibling directory that takes the name `path` when the block ends well, and is removed when not.

    Raises:
        DestinationError, UsageError: As `check_destination`.
        StorageError: The directory cannot be written.
    """
    check_destination(path, marker, force)
    with raised_signals(), storage_errors(path):
        stage = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield stage
            check_destination(path, marker, force)
            _sync_tree(stage)
            stage.chmod(0o755)
            _take_name(stage, path)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _take_name(stage: Path, path: Path) -> None:
    if path.exists() and any(path.iterdir()):
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
        path.rename(old)
        stage.rename(path)
        shutil.rmtree(old)
    else:
        stage.rename(path)
    sync_directory(path.parent)


def check_new_file(path: Path, force: bool) -> None:
    """Refuse a file that exists, before any work is done for it; `force` lets a plain file be replaced.

    Raises:
        DestinationError: It exists and may not be replaced.
        UsageError: It cannot be made where it was asked for.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file():
        raise DestinationError(f"{path}: exists and is not a plain file; choose another name")
    if not force:
        raise DestinationError(f"{path}: exists; choose another name, or add --force to replace it")


@contextlib.contextmanager
def staged_file(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a sibling file that takes the name `path` when the block ends well, and is removed when not.

    Raises:
        DestinationError, UsageError: As `check_new_file`.
        StorageError: The file cannot be written.
    """
    check_new_file(path, force)
    with raised_signals(), storage_errors(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(descriptor)
        stage = Path(name)
        try:
            yield stage
            stage.chmod(0o644)
            check_new_file(path, force)
            with stage.open("rb") as file:
                os.fsync(file.fileno())
            stage.replace(path)
            sync_directory(path.parent)
        finally:
            stage.unlink(missing_ok=True)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)  # noqa: PTH118 (os.walk gives strings)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(folder))


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file, and have it on the disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StorageError` that names the file."""
    try:
        yield
    except BrokenPipeError as error:
        raise Stopped(signal.SIGPIPE) from error  # who read standard output has enough
    except OSError as error:
        raise StorageError(
            f"{error.filename or path}: {error.strerror or error}; free space or mend it, then run the same command again"
        ) from error
