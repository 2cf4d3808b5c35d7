"""Compression: gzip and zstd around the text formats. Each chunk is a member or a frame of its own, the same every time."""

from __future__ import annotations

import gzip
import io
import sys
from typing import Any, BinaryIO, cast

from pairlift.errors import UsageError

SUFFIXES = (".gz", ".zst")
GZIP_LEVEL = 6
ZSTD_LEVEL = 3


def open_decompressed(file: BinaryIO, compression: str, source: str) -> BinaryIO:
    """Return what a compressed file holds, as a stream that is never held whole.

    Raises:
        UsageError: The extra that it takes is not installed.
    """
    if compression == ".gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    if compression == ".zst":
        return cast("BinaryIO", io.BufferedReader(_ZstdStream(import_zstd(source), file)))
    return file


def compress(data: bytes, compression: str) -> bytes:
    """Return bytes as one gzip member or zstd frame, or as they are."""
    if compression == ".gz" and data:
        return gzip.compress(data, GZIP_LEVEL, mtime=0)
    if compression == ".zst" and data:
        packed: bytes = import_zstd("output").compress(data, level=ZSTD_LEVEL)
        return packed
    return data


def check_compression(compression: str, path: str) -> None:
    """Raise a `UsageError` when the extra that a file's compression takes is not installed."""
    if compression == ".zst":
        import_zstd(path)


class _ZstdStream(io.RawIOBase):
    """A zstd file that is damaged as a gzip file is: with an `EOFError`."""

    def __init__(self, zstd: Any, file: BinaryIO) -> None:
        self._damage = zstd.ZstdError
        self._stream = zstd.ZstdFile(file, "rb")

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return how many bytes came."""
        try:
            return int(self._stream.readinto(buffer))
        except self._damage as error:
            raise EOFError(str(error)) from error


def import_zstd(path: str) -> Any:
    """Return the module of zstd.

    Raises:
        UsageError: The extra is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ModuleNotFoundError:
        raise UsageError(f'{path}: zstd needs: pip install "pairlift[zstd]"') from None
    return zstd
