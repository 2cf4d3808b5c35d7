"""Digests: the size and SHA-256 of a file."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """The size and SHA-256 of a file below a root.

    Attributes:
        path: The path relative to the root, with `/`.
        size: Size in bytes.
        sha256: SHA-256 of the bytes, in lower-case hexadecimal.
    """

    path: str
    size: int
    sha256: str


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. The file is read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_file(root: Path, path: Path) -> FileDigest:
    """Return the digest of the file `path`, with its path relative to `root`."""
    return FileDigest(path=path.relative_to(root).as_posix(), size=path.stat().st_size, sha256=sha256_file(path))
