"""What is on the disk by the time that a call returns: a file, a name, a file in the place of another."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pairlift.storage.files import sync_descriptor


def sync(path: Path) -> None:
    """Have a file on the disk, or, where the file system can do that, the names in a directory.

    Raises:
        OSError: It cannot be opened, or the disk fails.
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
    """Give a file or directory another name in its directory, in the place of a file or empty directory that has it.

    Raises:
        OSError: It cannot be renamed, or the disk fails.
    """
    made.rename(path)
    sync(path.parent)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file of a directory that is ours alone, in the place of one that may be there.

    It is `.NAME.partial` until it is whole; one that a killed process left is written over.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)
