"""Write an object like a file. It is uploaded in parts, and appears only when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import io
from typing import Any

from pairlift.storage.conditional import Conditional, put, settle
from pairlift.storage.s3 import client, s3_errors
from pairlift.storage.url import S3Url

PART = 8 << 20  # bytes; S3 requires at least 5 MiB and allows 10,000 parts, so the parts grow until 2 TB fit
GROW_AFTER = 1000  # parts of one size


class Upload(io.RawIOBase):
    """A file for writing that `finish` turns into an object. As a context manager, it aborts an unfinished upload.

    Attributes:
        size: Bytes written so far.
    """

    def __init__(self, terms: Conditional) -> None:
        """Prepare a write; nothing is uploaded yet.

        Args:
            terms: The object, its metadata, and the condition of the write.
        """
        self._terms = terms
        self._client = client()
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self.size = 0

    def __exit__(self, *_: object) -> None:
        self.abort()

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self.size

    def write(self, data: Any) -> int:
        """Buffer bytes, and upload each part that is full.

        Raises:
            StorageError: A part cannot be written.
        """
        piece = bytes(data)
        self._digest.update(piece)
        self._buffer += piece
        self.size += len(piece)
        while len(self._buffer) >= self._part_size:
            self._send(bytes(self._buffer[: self._part_size]))
        return len(piece)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far."""
        return self._digest.hexdigest()

    def finish(self) -> str | None:
        """Create the object; return its ETag, or None if the existing object does not have the expected version.

        Raises:
            StorageError: The object cannot be written.
        """
        if self._id is None:
            return put(self._terms, bytes(self._buffer), self.sha256)
        if self._buffer:
            self._send(bytes(self._buffer))
        version = settle(self._terms, self._complete)
        if version is not None:
            self._id = None
        return version

    def abort(self) -> None:
        """Abort the multipart upload, if it has begun."""
        if self._id is not None:
            abort_upload(self._terms.url, self._id)
        self._id = None
        self._buffer.clear()

    @property
    def _part_size(self) -> int:
        return PART << (len(self._parts) // GROW_AFTER)

    def _send(self, data: bytes) -> None:
        where = self._terms.where
        with s3_errors(self._terms.url):
            if self._id is None:
                begun = self._client.create_multipart_upload(**where, Metadata=self._terms.marks)
                self._id = str(begun["UploadId"])
            number = len(self._parts) + 1
            answer = self._client.upload_part(**where, UploadId=self._id, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        del self._buffer[: len(data)]

    def _complete(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.complete_multipart_upload(
            **self._terms.where, UploadId=self._id, MultipartUpload={"Parts": self._parts}, **self._terms.condition
        )
        return answer


def abort_upload(url: S3Url, upload: str) -> None:
    """Abort a multipart upload. Ignored if it no longer exists or the role may not abort it."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        client().abort_multipart_upload(Bucket=url.bucket, Key=url.key, UploadId=upload)


def abort_strays(url: S3Url) -> None:
    """Abort every unfinished upload of an object, including those of other processes."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        for page in client().get_paginator("list_multipart_uploads").paginate(Bucket=url.bucket, Prefix=url.key):
            for found in page.get("Uploads", ()):
                if found["Key"] == url.key:
                    abort_upload(url, found["UploadId"])
