"""Digests: the size and sha256 by which a file is known."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """A file below a root.

    Attributes:
        path: Relative to the root, with `/`.
        size: Bytes.
        sha256: Lower-case hexadecimal.
    """

    path: str
    size: int
    sha256: str


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_file(root: Path, path: Path) -> FileDigest:
    """Return the digest of `path`, named relative to `root`."""
    return FileDigest(path=path.relative_to(root).as_posix(), size=path.stat().st_size, sha256=sha256_file(path))
