"""What is made aside before it takes its name, and what is left of it where the process that made it was killed.

It stands beside the name that it will take: `.NAME.xxxxxxxx.partial`, or `.NAME.xxxxxxxx.old` for a directory that gives its
place to a new one and is whole. The process that made it holds it by flock as long as it lives, so what can be locked is
nobody's. Where a file system has no flock, nothing can be locked and nothing is taken for a leftover.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pairlift.errors import StorageError
from pairlift.storage.files import has_name, take_lock

PARTIAL = ".partial"
OLD = ".old"
NO_LOCK = (OSError, StorageError)  # there is no flock here
_TRIES = 100


@contextlib.contextmanager
def held_directory(path: Path, suffix: str = PARTIAL) -> Iterator[Path]:
    """Yield a new directory beside `path`, held while the block runs.

    When that ends, a partial one that has its name still is removed; an old one is removed if `path` is there, and is `path`
    again if not.

    Raises:
        OSError: It cannot be made.
    """
    with _held(path, suffix, directory=True) as made:
        yield made


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[Path]:
    """Yield a new file beside `path`; as `held_directory`."""
    with _held(path, PARTIAL, directory=False) as made:
        yield made


@contextlib.contextmanager
def held_place(path: Path) -> Iterator[None]:
    """Hold a directory that is there, if that can be done."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(*NO_LOCK):
            take_lock(descriptor, str(path))
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`; a directory that was to be replaced by another gets its name back.

    What cannot be removed is left for another time.
    """
    names = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}\.(partial|old)")  # as tempfile makes them
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir(path.parent)):  # noqa: PTH208 (iterdir would fail in the middle)
            if names.fullmatch(entry):
                with contextlib.suppress(*NO_LOCK), _lock(path.with_name(entry)) as nobodys:
                    if nobodys:
                        _remove(path.with_name(entry), path)


@contextlib.contextmanager
def _held(path: Path, suffix: str, directory: bool) -> Iterator[Path]:
    made, descriptor = _make_held(path, suffix, directory)
    try:
        yield made
    finally:
        try:
            _remove(made, path)
        finally:
            os.close(descriptor)


def _make_held(path: Path, suffix: str, directory: bool) -> tuple[Path, int]:
    prefix = f".{path.name}."
    for _ in range(_TRIES):
        if directory:
            made = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=path.parent))
        else:
            opened, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
            os.close(opened)
            made = Path(name)
        with contextlib.suppress(FileNotFoundError):  # between its making and its lock another took it for a leftover
            descriptor = os.open(made, _open_flags(directory))
            try:
                held = take_lock(descriptor, str(made))
            except NO_LOCK:
                return made, descriptor
            if held and has_name(made, descriptor):
                return made, descriptor
            os.close(descriptor)
    raise BlockingIOError(f"{path}: what is made for it is taken away each time")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Yield whether a file or directory is ours and no living process holds it; it is held while the block runs."""
    found = path.lstat()
    directory = stat.S_ISDIR(found.st_mode)
    if found.st_uid != os.geteuid() or not (directory or (stat.S_ISREG(found.st_mode) and path.suffix == PARTIAL)):
        yield False
        return
    descriptor = os.open(path, _open_flags(directory) | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        held = take_lock(descriptor, str(path))
        yield held and os.path.samestat(found, os.fstat(descriptor)) and has_name(path, descriptor)
    finally:
        os.close(descriptor)


def _open_flags(directory: bool) -> int:
    return os.O_RDONLY | os.O_DIRECTORY if directory else os.O_RDWR  # NFS locks only what may be written


def _remove(made: Path, path: Path) -> None:
    """Remove what was made for `path`, or, if it is what `path` was and `path` is missing or empty, give it its name back."""
    with contextlib.suppress(FileNotFoundError):
        if not made.is_dir():
            made.unlink()
            return
        if made.suffix == OLD:
            if any(made.iterdir()) and _give_back(made, path):
                return
            made = made.rename(made.with_suffix(PARTIAL))  # what has the other name is whole
        shutil.rmtree(made, ignore_errors=True)


def _give_back(old: Path, path: Path) -> bool:
    try:
        old.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # something else has the name
            return False
        raise
    return True
