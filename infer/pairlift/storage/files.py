"""Files below one directory, by operations that each happen whole or not at all; links are never followed."""

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
    """What a directory can do. Names are relative to it; a missing file or folder is a `FileNotFoundError`."""

    def write(self, name: str, write: Write) -> Stored:
        """Write a new file durably, in folders that are made if they are missing; its name need not be durable."""
        ...

    def link(self, source: str, name: str) -> None:
        """Give a file a second name; a `FileExistsError` if that is taken."""
        ...

    def rename(self, source: str, name: str) -> None:
        """Give a file another name, in the place of what has it."""
        ...

    def unlink(self, name: str) -> None:
        """Remove a file."""
        ...

    def rmdir(self, name: str) -> None:
        """Remove an empty folder; an `OSError` if it is not empty."""
        ...

    def prune(self, folder: str) -> None:
        """Remove the empty folders in a folder, and the folder itself if it is empty then."""
        ...

    def sync(self, name: str) -> None:
        """Make the names in the folder that a file is in durable."""
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
        """Yield the names of all files in a folder and its folders; what goes meanwhile is left out."""
        ...

    def locked(self, name: str) -> contextlib.AbstractContextManager[Callable[[], bool] | None]:
        """Hold the lock of a file that is there, and yield what says whether the name is still that file's.

        It yields None if another process holds the lock. A `FileNotFoundError` if the name is another file's already.
        """
        ...

    def check_owner(self, folder: str) -> None:
        """Refuse a folder that another user has made where everybody may make one; a `DestinationError`."""
        ...


def sync_descriptor(folder: int) -> None:
    """Make the names in an open folder durable, where the file system can do that."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def describe(found: os.stat_result) -> tuple[int, str]:
    """Return the size and the version of a file; the version has nothing in it that another machine would see otherwise."""
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
    """Return whether an open file or directory is the one that has a name, which may be another's or nobody's by now."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
