"""Objects read as files, in ranges. Each request requires the same ETag, and a range that breaks off is resumed."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any, BinaryIO, cast

from pairlift.errors import InputError
from pairlift.storage.s3 import ABSENT, ATTEMPTS, TAKEN, client, code_of, explain, is_passing
from pairlift.storage.stamp import Stamp
from pairlift.storage.url import S3Url, parse_url

BLOCK = 8 << 20  # bytes per request: a request costs some 20 ms and a fraction of a cent, whatever its size
BUFFER = 1 << 20
PAUSE = 0.1  # seconds before the first retry of a range; doubled each time


def open_object(name: str) -> BinaryIO:
    """Open an object for reading. If the object is replaced later, reading it fails.

    Raises:
        UsageError: The name is not `s3://bucket/key`.
        InputError: The object does not exist, or cannot be read.
    """
    return cast("BinaryIO", io.BufferedReader(ObjectFile(parse_url(name)), BUFFER))


class ObjectFile(io.RawIOBase):
    """A seekable file that reads an object.

    Attributes:
        stamp: The object's stamp when it was opened.
    """

    def __init__(self, url: S3Url) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self._url = url
        self._failures = (BotoCoreError, ClientError)
        self._client = client()
        try:
            head = self._client.head_object(Bucket=url.bucket, Key=url.key)
        except self._failures as error:
            if code_of(error) in ABSENT:
                raise InputError(f"{url}: no such object; expected a file of pairs") from error
            raise InputError(f"{url}: {explain(error)}", passing=is_passing(error)) from error
        self.stamp = Stamp(size=int(head["ContentLength"]), etag=str(head["ETag"]))
        self._place = 0
        self._block, self._begin = b"", 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.stamp.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return the number of bytes read.

        Raises:
            InputError: The object has changed since it was opened.
            OSError: The range could not be read in ATTEMPTS tries.
        """
        if self._place >= self.stamp.size:
            return 0
        at = self._place - self._begin
        if not 0 <= at < len(self._block):
            self._block, self._begin, at = b"", self._place, 0
            self._block = self._fetch(self._place, min(self.stamp.size, self._place + BLOCK))
        taken = self._block[at : at + len(buffer)]
        buffer[: len(taken)] = taken
        self._place += len(taken)
        return len(taken)

    def _fetch(self, begin: int, end: int) -> bytes:
        """Return the bytes of a range."""
        parts, attempt = bytearray(), 0
        while begin + len(parts) < end:
            before = len(parts)
            try:
                self._append(parts, begin + len(parts), end)
            except (*self._failures, OSError) as error:
                if code_of(error) in (*TAKEN, *ABSENT, "416", "InvalidRange"):
                    raise InputError(
                        f"{self._url}: changed while it was read; run again when it is complete"
                    ) from error
                # botocore has already retried refused requests. Only a transfer that broke off is resumed here.
                attempt = 0 if len(parts) > before else attempt + 1
                if attempt >= ATTEMPTS or (code_of(error) and len(parts) == before):
                    raise OSError(5, f"{self._url}: {explain(error)}") from error
                time.sleep(PAUSE * 2**attempt)
        return bytes(parts)

    def _append(self, parts: bytearray, begin: int, end: int) -> None:
        answer = self._client.get_object(
            Bucket=self._url.bucket, Key=self._url.key, Range=f"bytes={begin}-{end - 1}", IfMatch=self.stamp.etag
        )
        with contextlib.closing(answer["Body"]) as body:
            for piece in iter(lambda: body.read(BUFFER), b""):
                parts += piece
