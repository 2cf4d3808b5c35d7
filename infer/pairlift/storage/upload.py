"""An object written as a file: in parts, and there only when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import io
from typing import Any

from pairlift.storage.conditional import Conditional, put, settle
from pairlift.storage.s3 import client, s3_errors
from pairlift.storage.url import S3Url

PART = 8 << 20  # bytes; S3 asks for 5 MiB at least, and counts to 10,000: the parts grow, so that 2 TB fit
GROW_AFTER = 1000  # parts of one size


class Upload(io.RawIOBase):
    """What is written becomes an object by `finish`; as a context it leaves nothing behind when that is not come to.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, terms: Conditional) -> None:
        """Begin with nothing.

        Args:
            terms: The object, its marks, and on what condition it is made.
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
        """Return that it is."""
        return True

    def tell(self) -> int:
        """Return how many bytes have been written."""
        return self.size

    def write(self, data: Any) -> int:
        """Take bytes.

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
        """Of what has been written."""
        return self._digest.hexdigest()

    def finish(self) -> str | None:
        """Give the object its name; return its ETag, or None if what is there is not what was expected.

        Raises:
            StorageError: It cannot be.
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
        """Have S3 forget the parts."""
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
    """Have S3 forget an upload; one that it does not know, or may not be told of, is let be."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        client().abort_multipart_upload(Bucket=url.bucket, Key=url.key, UploadId=upload)


def abort_strays(url: S3Url) -> None:
    """Have S3 forget every unfinished upload of an object, those of other processes too."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        for page in client().get_paginator("list_multipart_uploads").paginate(Bucket=url.bucket, Prefix=url.key):
            for found in page.get("Uploads", ()):
                if found["Key"] == url.key:
                    abort_upload(url, found["UploadId"])
