"""Members: where the gzip members or zstd frames of a file begin, found while it is decompressed."""

from __future__ import annotations

import bisect
import io
import sys
import zlib
from typing import Any, BinaryIO

from pairlift.errors import missing_extra

READ = 1 << 18
GZIP = 31  # zlib's number for a gzip header


class MemberStream(io.RawIOBase):
    """The decompressed contents of a file, with the offsets at which its members begin."""

    def __init__(self, file: BinaryIO, compression: str, source: str) -> None:
        self._file = file
        self._zstd = import_zstd(source) if compression == ".zst" else None
        self._damage = self._zstd.ZstdError if self._zstd else zlib.error
        self._begun: list[int] = []  # uncompressed
        self._members: list[int] = []  # compressed
        self._data = b""
        self._read = self._made = 0
        self._member: Any = None
        self._dry = False  # whether the member's last call returned nothing

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return the number of bytes; 0 at the end of the file.

        Raises:
            EOFError: The file is cut off or damaged.
        """
        while self._member is not None or self._begin():
            piece = self._decompress(len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                self._made += len(piece)
                return len(piece)
        return 0

    def find(self, start: int) -> tuple[int, int]:
        """Return the offset of the member that holds an uncompressed byte, and that byte's offset in the member.

        Later calls must not ask for earlier bytes.
        """
        at = bisect.bisect_right(self._begun, start) - 1
        del self._begun[:at], self._members[:at]
        return self._members[0], start - self._begun[0]

    def _fill(self) -> bool:
        """Read the next block, and return whether it has any bytes. Only an empty block is the end of the file."""
        self._data = self._file.read(READ)
        self._read += len(self._data)
        return bool(self._data)

    def _begin(self) -> bool:
        """Begin the next member, and return whether there is one. Padding after a gzip member is skipped."""
        while True:
            if self._begun and self._zstd is None:
                self._data = self._data.lstrip(b"\0")
            if self._data:
                break
            if not self._fill():
                return False
        self._member = self._zstd.ZstdDecompressor() if self._zstd else zlib.decompressobj(GZIP)
        self._begun.append(self._made)
        self._members.append(self._read - len(self._data))
        return True

    def _decompress(self, most: int) -> bytes:
        """Return some bytes of the member, perhaps none."""
        member, ended = self._member, False
        # The decompressor may still hold input or output from earlier calls; then it may not need to read more.
        if not self._data and (self._zstd is None or self._dry or member.needs_input):
            ended = not self._fill()
        try:
            piece: bytes = member.decompress(self._data, most)
        except self._damage as error:
            raise EOFError(str(error)) from error
        self._dry = not piece
        if member.eof:
            self._data, self._member = member.unused_data, None
        elif ended and not piece:
            raise EOFError("the file ends in the middle of a compressed piece")
        else:
            self._data = b"" if self._zstd else member.unconsumed_tail
        return piece


def import_zstd(path: str) -> Any:
    """Return Python's zstd module.

    Raises:
        UsageError: The extra is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ModuleNotFoundError:
        raise missing_extra(f"{path}: zstd", "zstd") from None
    return zstd
