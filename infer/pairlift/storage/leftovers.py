"""Temporary files and directories beside the final one, and the removal of those that killed processes left.

A temporary file or directory is named `.NAME.xxxxxxxx.partial`. A complete directory that is being replaced is named
`.NAME.xxxxxxxx.old` meanwhile. The process that made it holds its lock (flock) until it ends. So if another process can
take the lock, the maker is dead, and the file is a leftover. Without flock, nothing counts as a leftover.
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
NO_LOCK = (OSError, StorageError)  # raised where the file system has no flock
_TRIES = 100


@contextlib.contextmanager
def held_directory(path: Path, suffix: str = PARTIAL) -> Iterator[Path]:
    """Yield a new directory beside `path`, locked while the block runs.

    When the block ends, a partial directory is removed unless it was renamed. An old directory is removed if `path`
    holds something, and otherwise renamed back to `path`.

    Raises:
        OSError: The directory cannot be made.
    """
    with _held(path, suffix, directory=True) as made:
        yield made


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[Path]:
    """Yield a new file beside `path`, locked while the block runs; otherwise like `held_directory`."""
    with _held(path, PARTIAL, directory=False) as made:
        yield made


@contextlib.contextmanager
def held_place(path: Path) -> Iterator[None]:
    """Lock an existing directory while the block runs, if the file system supports that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(*NO_LOCK):
            take_lock(descriptor, str(path))
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`.

    If a process was killed while it replaced the directory `path`, the old directory gets its name back. What cannot be
    removed stays until the next call.
    """
    names = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}\.(partial|old)")  # the names that tempfile makes
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
        with contextlib.suppress(FileNotFoundError):  # another process took it for a leftover before it was locked
            descriptor = os.open(made, _open_flags(directory))
            try:
                held = take_lock(descriptor, str(made))
            except NO_LOCK:
                return made, descriptor
            if held and has_name(made, descriptor):
                return made, descriptor
            os.close(descriptor)
    raise BlockingIOError(f"{path}: another process keeps removing the temporary file or directory beside it")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file or directory for the block; yield whether it belongs to this user and no living process holds it."""
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
    return os.O_RDONLY | os.O_DIRECTORY if directory else os.O_RDWR  # NFS locks only files that are open for writing


def _remove(made: Path, path: Path) -> None:
    """Remove what was made for `path`; rename an old directory back to `path` if `path` is missing or empty."""
    with contextlib.suppress(FileNotFoundError):
        if not made.is_dir():
            made.unlink()
            return
        if made.suffix == OLD:
            if any(made.iterdir()) and _give_back(made, path):
                return
            made = made.rename(made.with_suffix(PARTIAL))  # only a complete directory may be named `.old`
        shutil.rmtree(made, ignore_errors=True)


def _give_back(old: Path, path: Path) -> bool:
    try:
        old.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # something else has taken the name
            return False
        raise
    return True
