"""Stores: files under one root, each written whole and once; the root is a directory, or the prefix of objects' keys.

What several processes may do at once rests on two operations alone: `create` and `swap` succeed only if the file is still
what the caller says that it is, so of several writers exactly one succeeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, Protocol

Write = Callable[[BinaryIO], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as it was written.

    Attributes:
        size: Bytes.
        sha256: Of its bytes.
        version: Of the object, which changes when it is written again (its ETag); nothing in a directory, where the bytes
            themselves are looked at.
    """

    size: int
    sha256: str
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that is there.

    Attributes:
        size: Bytes.
        version: Another content has another version: an object's ETag; a file's number, size and time.
        mark: The mark that an object was written with, or an empty string; None where files have no marks, and in a listing.
        sha256: Of its bytes; an empty string in a listing, and for an object that was not written by pairlift.
    """

    size: int
    version: str
    mark: str | None = None
    sha256: str = ""


Ready = Callable[[Stored], object]


class Store(Protocol):
    """Files under a root. Names may have folders in them. Errors of storage are `StorageError`s or `OSError`s."""

    root: str

    def create(self, name: str, data: bytes, mark: str) -> Stored | None:
        """Write a small file where there is none, durably; return None if there is one."""
        ...

    def swap(
        self, name: str, write: Write, mark: str, expected: str | None, ready: Ready | None = None
    ) -> Stored | None:
        """Write a file of any size in the place of one version of it, durably.

        Args:
            name: The file.
            write: Writes its bytes.
            mark: The mark of the job.
            expected: The version that is replaced; None if there must be no file.
            ready: Called with what was written before the file gets its name; an exception of it leaves all as it was.

        Returns:
            What was written, or None if there is another version by now (or one, where none was expected).
        """
        ...

    def stat(self, name: str) -> Found | None:
        """Return the size and version of a file, or None if it is not there."""
        ...

    def look(self, name: str) -> Found | None:
        """Return all that is known of a file, or None if it is not there; in a directory its bytes are read for that."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if it is not there."""
        ...

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those files that are there."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, in order."""
        ...

    def find(self, prefix: str = "") -> dict[str, Found]:
        """Return the files whose names begin so, in order of name."""
        ...

    def find_altered(self, expected: Mapping[str, Stored]) -> list[str]:
        """Return the names of those files that are gone, or not as they were written."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders that become empty; a file that is not there counts as removed."""
        ...

    def tidy(self, names: Iterable[str]) -> None:
        """Abort unfinished writes of these files, those of other processes too."""
        ...

    def probe(self, name: str, mark: str) -> None:
        """See, by a file of that name, that what is there cannot be created again; a `StorageError` if the store lets it."""
        ...
