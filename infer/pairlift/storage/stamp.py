"""Stamps: what a file or an object is known by, so that a change of it is noticed."""

from __future__ import annotations

import dataclasses
import datetime
import os
from typing import BinaryIO


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One of a job's inputs, and what it was known by when the job began."""

    name: str
    stamp: Stamp


def read_stamp(file: BinaryIO) -> Stamp:
    """Return the stamp of an open file, or of an open object, to which it is pinned."""
    stamp = getattr(getattr(file, "raw", None), "stamp", None)
    if isinstance(stamp, Stamp):
        return stamp
    found = os.fstat(file.fileno())
    return Stamp(size=found.st_size, modified=found.st_mtime_ns)


def describe_change(was: Stamp, now: Stamp) -> str:
    """Return in words how an input has changed."""
    if was.etag or now.etag:
        return f"was {was.size} bytes with ETag {was.etag}, is {now.size} bytes with ETag {now.etag}"
    times = [datetime.datetime.fromtimestamp(stamp.modified / 1e9, datetime.UTC) for stamp in (was, now)]
    shown = [f"{time:%Y-%m-%d %H:%M:%S.%f} UTC" for time in times]
    return f"was {was.size} bytes of {shown[0]}, is {now.size} bytes of {shown[1]}"
