"""A job's directory: one process works in it, and what is left of it is known for what it was.

The file `lock` is held by flock. It is made first and removed last, and beside it there are only files with names that the job
knows: a directory of that name with anything else in it is somebody else's, and is left alone.
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
    """Make a directory where there is none, and hold it.

    Args:
        path: The directory.
        names: What the names of its files match.
        what: What the directory is for, for the message.

    Raises:
        DestinationError: Another process holds it, or the name is taken by something else.
    """
    while True:
        if not _is_ours(path, names):
            raise DestinationError(f"{path}: exists and is no job's directory; move it, or choose another {what}")
        try:
            path.mkdir(exist_ok=True)
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            continue  # the job that had it is just done
        except FileExistsError:
            raise DestinationError(f"{path}: exists and is no directory; move it, or choose another {what}") from None
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
    """Remove all that is in a job's directory but the lock; one file first, without which the others are nothing."""
    (path / first).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for file in path.iterdir():
            if file.name != LOCK:
                file.unlink(missing_ok=True)


def remove_directory(path: Path, names: re.Pattern[str], first: str) -> None:
    """Remove a job's directory, if it is there and is one, the lock last."""
    if not _is_ours(path, names):
        return
    clear_directory(path, first)
    (path / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another process removes it too, or has just begun in it
        path.rmdir()


def _is_ours(path: Path, names: re.Pattern[str]) -> bool:
    try:
        found = os.listdir(path)  # noqa: PTH208 (one look, for another process may be removing it)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return not found or (LOCK in found and all(name == LOCK or names.fullmatch(name) for name in found))
