"""Storage: what is named by `s3://bucket/key`, beside what is named by a path.

Nothing here imports boto3 before an `s3://` name is used.
"""

from __future__ import annotations

import dataclasses
import os
from typing import BinaryIO

from pairlift.storage.url import is_remote

__all__ = ["Stamp", "is_remote", "read_stamp"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a file is known by: another content has another stamp.

    Attributes:
        size: Bytes.
        modified: Nanoseconds since 1970; 0 on S3, and for a stream.
        etag: Of the object on S3; else nothing.
    """

    size: int = 0
    modified: int = 0
    etag: str = ""


def read_stamp(file: BinaryIO) -> Stamp:
    """Return the stamp of an open file, or of an open object, to which it is pinned."""
    stamp = getattr(getattr(file, "raw", None), "stamp", None)
    if isinstance(stamp, Stamp):
        return stamp
    found = os.fstat(file.fileno())
    return Stamp(size=found.st_size, modified=found.st_mtime_ns)
