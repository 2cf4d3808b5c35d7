"""Compression: gzip and zstd for the text formats. Each chunk is its own member or frame, with reproducible bytes."""

from __future__ import annotations

import gzip
import io
from typing import BinaryIO, cast

from pairlift.formats.members import MemberStream, import_zstd

SUFFIXES = (".gz", ".zst")
GZIP_LEVEL = 6
ZSTD_LEVEL = 3


def open_decompressed(file: BinaryIO, compression: str, source: str) -> BinaryIO:
    """Return the decompressed contents of a file as a stream, which is never in memory as a whole.

    Raises:
        UsageError: The extra that the compression needs is not installed.
    """
    if compression == ".gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    if compression == ".zst":
        return cast("BinaryIO", io.BufferedReader(MemberStream(file, compression, source)))
    return file


def compress(data: bytes, compression: str) -> bytes:
    """Compress bytes into one gzip member or zstd frame, or return them unchanged."""
    if compression == ".gz" and data:
        return gzip.compress(data, GZIP_LEVEL, mtime=0)
    if compression == ".zst" and data:
        packed: bytes = import_zstd("output").compress(data, level=ZSTD_LEVEL)
        return packed
    return data


def check_compression(compression: str, path: str) -> None:
    """Raise a `UsageError` if the extra that a file's compression needs is not installed."""
    if compression == ".zst":
        import_zstd(path)
