"""Stores: files under one root, each written atomically. The root is a directory, or a prefix of the keys of objects.

Processes that work at the same time coordinate by two operations only, `create` and `swap`. Both succeed only if the
file still has the state that the caller expects. So of several writers, exactly one succeeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, Protocol

Write = Callable[[BinaryIO], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Size, digest and version of a file when it was written.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 of its bytes.
        version: The ETag of an object, which changes when the object is written again. An empty string in a directory,
            where the bytes themselves are checked.
    """

    size: int
    sha256: str
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An existing file.

    Attributes:
        size: Size in bytes.
        version: Changes with the content: an object's ETag, or a file's inode number, size and modification time.
        mark: The mark in an object's metadata, or an empty string. None in a directory, where files have no marks, and
            in a listing.
        sha256: SHA-256 of its bytes. An empty string in a listing, and for an object that pairlift did not write.
    """

    size: int
    version: str
    mark: str | None = None
    sha256: str = ""


Ready = Callable[[Stored], object]


class Store(Protocol):
    """Files under a root. Names may contain folders. Errors of storage are `StorageError`s or `OSError`s."""

    root: str

    def create(self, name: str, data: bytes, mark: str) -> Stored | None:
        """Write a small file durably if none exists; return None if one exists."""
        ...

    def swap(
        self, name: str, write: Write, mark: str, expected: str | None, ready: Ready | None = None
    ) -> Stored | None:
        """Write a file of any size durably if the file still has the expected version (compare and swap).

        Args:
            name: The file.
            write: Writes its bytes.
            mark: The mark of the job.
            expected: The version that is replaced; None if no file may exist.
            ready: Called with what was written, before the file gets its name. If it raises an exception, nothing is
                changed.

        Returns:
            What was written, or None if the file no longer has the expected version.
        """
        ...

    def stat(self, name: str) -> Found | None:
        """Return the size and version of a file, or None if it does not exist."""
        ...

    def look(self, name: str) -> Found | None:
        """Return size, version, mark and digest of a file, or None if it does not exist; a directory reads the file."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if it does not exist."""
        ...

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those files that exist."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin with a prefix, in order."""
        ...

    def find(self, prefix: str = "") -> dict[str, Found]:
        """Return the files whose names begin with a prefix, in order of name."""
        ...

    def find_altered(self, expected: Mapping[str, Stored]) -> list[str]:
        """Return the names of those files that are missing or have changed since they were written."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders that become empty. Missing files are ignored."""
        ...

    def tidy(self, names: Iterable[str]) -> None:
        """Abort unfinished writes of these files, including those of other processes."""
        ...

    def probe(self, name: str, mark: str) -> None:
        """Check, with a file of that name, that `create` does not overwrite a file; a `StorageError` if it does."""
        ...
