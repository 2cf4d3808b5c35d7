"""Stamps: size and modification time of a file, or size and ETag of an object, by which a change is detected."""

from __future__ import annotations

import dataclasses
import datetime
import os
from typing import BinaryIO


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Size and version of a file: if the content changes, the stamp changes.

    Attributes:
        size: Size in bytes.
        modified: Modification time in nanoseconds since 1970; 0 for an object and for a stream.
        etag: The ETag of an object; an empty string for a file.
    """

    size: int = 0
    modified: int = 0
    etag: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One of a job's inputs, with its stamp when the job began."""

    name: str
    stamp: Stamp


def read_stamp(file: BinaryIO) -> Stamp:
    """Return the stamp of an open file, or the one that an object had when it was opened."""
    stamp = getattr(getattr(file, "raw", None), "stamp", None)
    if isinstance(stamp, Stamp):
        return stamp
    found = os.fstat(file.fileno())
    return Stamp(size=found.st_size, modified=found.st_mtime_ns)


def describe_change(was: Stamp, now: Stamp) -> str:
    """Describe how an input has changed, for a message."""
    if was.etag or now.etag:
        return f"was {was.size} bytes with ETag {was.etag}, is {now.size} bytes with ETag {now.etag}"
    times = [datetime.datetime.fromtimestamp(stamp.modified / 1e9, datetime.UTC) for stamp in (was, now)]
    shown = [f"{time:%Y-%m-%d %H:%M:%S.%f} UTC" for time in times]
    return f"was {was.size} bytes of {shown[0]}, is {now.size} bytes of {shown[1]}"
