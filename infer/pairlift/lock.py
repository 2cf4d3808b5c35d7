"""A lock: a directory that one process works in, by a file in it that is held by flock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pairlift.errors import DestinationError


@contextlib.contextmanager
def locked_directory(path: Path, lock: str, is_ours: Callable[[Path], bool], what: str) -> Iterator[None]:
    """Make a directory where there is none, and hold it.

    Args:
        path: The directory.
        lock: The name of the file in it that is locked; who removes the directory removes it last.
        is_ours: Whether the directory may be there as it is.
        what: What the directory is for, for the message.

    Raises:
        DestinationError: Another process holds it, or the name is taken by something else.
    """
    while True:
        if not is_ours(path):
            raise DestinationError(f"{path}: exists and is no job's directory; move it, or choose another {what}")
        try:
            path.mkdir(exist_ok=True)
            descriptor = os.open(path / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # the job that had it is just done
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DestinationError(
                    f"{path}: another process is at work on this {what}; wait for it, or choose another name"
                ) from None
            if _is_file(path / lock, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
