"""Atomic operations on the files below one directory. Symbolic links are never followed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pairlift.errors import StorageError
from pairlift.storage.store import Stored, Write

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Files(Protocol):
    """The operations on a directory. Names are relative to it. A missing file or folder raises a `FileNotFoundError`."""

    def write(self, name: str, write: Write) -> Stored:
        """Write a new file, and create its missing folders. Its bytes are durable; its name need not be."""
        ...

    def link(self, source: str, name: str) -> None:
        """Give a file a second name; a `FileExistsError` if the name exists."""
        ...

    def rename(self, source: str, name: str) -> None:
        """Rename a file, replacing a file of the new name."""
        ...

    def unlink(self, name: str) -> None:
        """Remove a file."""
        ...

    def rmdir(self, name: str) -> None:
        """Remove an empty folder; an `OSError` if it is not empty."""
        ...

    def prune(self, folder: str) -> None:
        """Remove the empty folders in a folder, and then the folder itself if it is empty."""
        ...

    def sync(self, name: str) -> None:
        """Make the names in the folder of a file durable."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        ...

    def digest(self, name: str) -> str:
        """Return the sha256 of a file's bytes."""
        ...

    def version(self, name: str) -> tuple[int, str]:
        """Return a file's size and version."""
        ...

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of all files in a folder and its folders; skip what is removed meanwhile."""
        ...

    def locked(self, name: str) -> contextlib.AbstractContextManager[Callable[[], bool] | None]:
        """Hold the lock of an existing file, and yield a function that says whether the name still refers to that file.

        It yields None if another process holds the lock. It raises a `FileNotFoundError` if the name already refers to
        another file.
        """
        ...

    def check_owner(self, folder: str) -> None:
        """Raise a `DestinationError` if another user has made the folder in a directory that everybody may write to."""
        ...


def sync_descriptor(folder: int) -> None:
    """Make the names in an open folder durable, where the file system supports that."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def describe(found: os.stat_result) -> tuple[int, str]:
    """Return the size and the version of a file. All machines that share the file system see the same version."""
    return found.st_size, f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def take_lock(descriptor: int, name: str) -> bool:
    """Lock an open file, or return False if another process holds the lock.

    Raises:
        StorageError: The file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise StorageError(
            f"{name}: this file system cannot lock files ({error.strerror}); write to a directory (OUTPUT/), which needs no lock, "
            "or to another file system"
        ) from error
    return True


def has_name(path: Path, descriptor: int) -> bool:
    """Return whether a name still refers to an open file or directory."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
