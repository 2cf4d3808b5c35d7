"""A job's directory: only one process works in it, and a partly removed one is still recognised.

The process holds the file `lock` with flock. The file is created first and removed last. All other files have names
that the job knows: a directory with anything else in it is not a job's directory, and is left alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pairlift.errors import DestinationError
from pairlift.storage.files import has_name, take_lock

LOCK = "lock"


@contextlib.contextmanager
def locked_directory(path: Path, names: re.Pattern[str], what: str) -> Iterator[None]:
    """Create a directory if there is none, and hold its lock.

    Args:
        path: The directory.
        names: A pattern that the names of its files match.
        what: What the directory is for, for the message.

    Raises:
        DestinationError: Another process holds the lock, or the name is taken by something else.
    """
    while True:
        if not _is_ours(path, names):
            raise DestinationError(f"{path}: exists but is not a job's directory; move it, or choose another {what}")
        try:
            path.mkdir(exist_ok=True)
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            continue  # the job that used it has just removed it
        except FileExistsError:
            raise DestinationError(
                f"{path}: exists but is not a directory; move it, or choose another {what}"
            ) from None
        try:
            if not take_lock(descriptor, str(path / LOCK)):
                raise DestinationError(
                    f"{path}: another process is at work on this {what}; wait for it, or choose another name"
                )
            if has_name(path / LOCK, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def clear_directory(path: Path, first: str) -> None:
    """Remove everything in a job's directory except the lock; `first` goes first, as the others need it."""
    (path / first).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for file in path.iterdir():
            if file.name != LOCK:
                file.unlink(missing_ok=True)


def remove_directory(path: Path, names: re.Pattern[str], first: str) -> None:
    """Remove a job's directory, the lock last; any other directory is left alone."""
    if not _is_ours(path, names):
        return
    clear_directory(path, first)
    (path / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another process is removing it too, or has just begun to use it
        path.rmdir()


def _is_ours(path: Path, names: re.Pattern[str]) -> bool:
    try:
        found = os.listdir(path)  # noqa: PTH208 (one call, because another process may be removing it)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return not found or (LOCK in found and all(name == LOCK or names.fullmatch(name) for name in found))
