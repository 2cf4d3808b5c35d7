"""Durable operations: when a call returns, its file or name is on the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pairlift.storage.files import sync_descriptor


def sync(path: Path) -> None:
    """Make a file durable, or the names in a directory, where the file system supports that.

    Raises:
        OSError: The file cannot be opened, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            sync_descriptor(descriptor)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(made: Path, path: Path) -> None:
    """Rename a file or directory durably within its directory, replacing a file or an empty directory of the new name.

    Raises:
        OSError: The file cannot be renamed, or the disk fails.
    """
    made.rename(path)
    sync(path.parent)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write or replace a file durably and atomically, in a directory that no other process writes to.

    The file is named `.NAME.partial` until it is complete. A partial file that a killed process left is overwritten.

    Raises:
        OSError: The file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
