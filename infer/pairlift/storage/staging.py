"""Staging: create a directory or a file atomically, so that it appears complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from pairlift.errors import DestinationError, Stopped, StorageError, UsageError
from pairlift.signals import raised_signals
from pairlift.storage.durable import rename, sync
from pairlift.storage.leftovers import OLD, held_directory, held_file, held_place, remove_leftovers

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def check_destination(path: Path, marker: str, force: bool) -> None:
    """Refuse a destination that exists, before any work is done for it; remove what killed processes left beside it.

    Args:
        path: The directory to be made.
        marker: The file by which pairlift recognizes a directory that it made.
        force: Whether a directory that pairlift made may be replaced.

    Raises:
        DestinationError: The directory exists and may not be replaced.
        UsageError: The parent directory does not exist, or the name is too long.
        StorageError: The destination cannot be inspected.
    """
    with storage_errors(path):
        _check_place(path)
        if not path.exists() and not path.is_symlink():
            return
        if path.is_symlink() or not path.is_dir():
            raise DestinationError(f"{path}: exists and is not a directory; choose another name")
        if not any(path.iterdir()):
            return
        if not (path / marker).is_file():
            raise DestinationError(
                f"{path}: exists and holds no {marker}, so pairlift does not replace it; choose another name"
            )
        if not force:
            raise DestinationError(f"{path}: exists; choose another name, or add --force to replace it")


@contextlib.contextmanager
def staged_directory(path: Path, marker: str, force: bool = False) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; it is renamed to `path` if the block succeeds, and removed otherwise.

    A process that is killed leaves the temporary directory. The next process that stages `path` removes it.

    Raises:
        DestinationError, UsageError: See `check_destination`.
        StorageError: The directory cannot be written.
    """
    check_destination(path, marker, force)
    with raised_signals(), storage_errors(path), held_directory(path) as stage:
        yield stage
        check_destination(path, marker, force)
        _sync_tree(stage)
        stage.chmod(0o755)
        _take_name(stage, path)


def _take_name(stage: Path, path: Path) -> None:
    if path.exists() and any(path.iterdir()):
        with held_directory(path, OLD) as old, held_place(path):
            path.rename(old)
            rename(stage, path)  # durably, before the old one is removed
    else:
        rename(stage, path)


def check_new_file(path: Path, force: bool) -> None:
    """Refuse a file that exists, before any work is done for it; with `force`, a plain file may be replaced.

    Also remove what killed processes left beside it.

    Raises:
        DestinationError: The file exists and may not be replaced.
        UsageError: The parent directory does not exist, or the name is too long.
        StorageError: The file cannot be inspected.
    """
    with storage_errors(path):
        _check_place(path)
        if not os.path.lexists(path):
            return
        if path.is_symlink() or not path.is_file():
            raise DestinationError(f"{path}: exists and is not a plain file; choose another name")
        if not force:
            raise DestinationError(f"{path}: exists; choose another name, or add --force to replace it")


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    remove_leftovers(path)


@contextlib.contextmanager
def staged_file(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it is renamed to `path` if the block succeeds, and removed otherwise.

    The block must write this file in place, and not replace it by another one. The file's lock shows that it is in use.

    Raises:
        DestinationError, UsageError: See `check_new_file`.
        StorageError: The file cannot be written.
    """
    check_new_file(path, force)
    with raised_signals(), storage_errors(path), held_file(path) as stage:
        yield stage
        stage.chmod(0o644)
        check_new_file(path, force)
        sync(stage)
        rename(stage, path)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StorageError` that names the file; a name too long is a `UsageError`."""
    try:
        yield
    except BrokenPipeError as error:
        raise Stopped(signal.SIGPIPE) from error  # the reader of standard output has closed it
    except OSError as error:
        name, reason = error.filename or path, error.strerror or error
        if error.errno == errno.ENAMETOOLONG:  # name `path`: the name that is too long may be derived from it
            raise UsageError(f"{path}: the name is too long for this file system; choose a shorter one") from error
        if error.errno in _NO_ROOM:
            raise StorageError(
                f"cannot write {name}: {reason}; free space there, then run the same command again"
            ) from error
        raise StorageError(f"{name}: {reason}; fix this, then run the same command again") from error
