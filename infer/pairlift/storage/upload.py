"""An object written as a file: in parts, and there only when it is complete, and only where there was none."""

from __future__ import annotations

import contextlib
import hashlib
import io
from typing import Any

from pairlift.errors import StorageError
from pairlift.storage.s3 import IN_FLIGHT, LOST_UPLOAD, TAKEN, client, code_of, explain, s3_errors
from pairlift.storage.url import S3Url

PART = 8 << 20  # bytes; S3 asks for 5 MiB at least, and counts to 10,000: the parts grow, so that 2 TB fit
GROW_AFTER = 1000  # parts of one size
JOB = "pairlift-job"  # metadata: the job that an object is of
SHA256 = "pairlift-sha256"
TRIES = 5
NEW = {"IfNoneMatch": "*"}  # the condition that there is no such object yet


def put(url: S3Url, data: bytes, marks: dict[str, str], condition: dict[str, str]) -> bool:
    """Write an object, if a condition holds; return whether it was written.

    Raises:
        StorageError: It cannot be written.
    """
    return _conditionally(
        url, lambda: client().put_object(Bucket=url.bucket, Key=url.key, Body=data, Metadata=marks, **condition)
    )


def _conditionally(url: S3Url, request: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    error: Exception | None = None
    for _ in range(TRIES):
        try:
            request()
        except (ClientError, BotoCoreError) as failure:
            error = failure
            if code_of(failure) in (*TAKEN, *LOST_UPLOAD):  # or it was written, and the answer went astray
                return False
            if code_of(failure) not in IN_FLIGHT:  # another writer is at it, and either of the two will have won
                break
        else:
            return True
    assert error is not None
    raise StorageError(f"{url}: {explain(error)}") from error


class Upload(io.RawIOBase):
    """What is written becomes an object by `finish`; as a context it leaves nothing behind when that is not come to.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, url: S3Url, marks: dict[str, str], over: bool = False) -> None:
        """Begin with nothing.

        Args:
            url: The object.
            marks: Its metadata.
            over: Whether it may be written over one that is there.
        """
        self._url, self._marks = url, marks
        self._condition = {} if over else NEW
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

    def finish(self) -> bool:
        """Give the object its name, if there is none of that name; return whether it has been given.

        Raises:
            StorageError: It cannot be.
        """
        if self._id is None:
            return put(self._url, bytes(self._buffer), self._marks | {SHA256: self.sha256}, self._condition)
        if self._buffer:
            self._send(bytes(self._buffer))
        done = _conditionally(self._url, self._complete)
        if done:
            self._id = None
        return done

    def abort(self) -> None:
        """Have S3 forget the parts."""
        if self._id is not None:
            abort_upload(self._url, self._id)
        self._id = None
        self._buffer.clear()

    @property
    def _part_size(self) -> int:
        return PART << (len(self._parts) // GROW_AFTER)

    def _send(self, data: bytes) -> None:
        where = {"Bucket": self._url.bucket, "Key": self._url.key}
        with s3_errors(self._url):
            if self._id is None:
                self._id = str(self._client.create_multipart_upload(**where, Metadata=self._marks)["UploadId"])
            number = len(self._parts) + 1
            answer = self._client.upload_part(**where, UploadId=self._id, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        del self._buffer[: len(data)]

    def _complete(self) -> None:
        self._client.complete_multipart_upload(
            Bucket=self._url.bucket,
            Key=self._url.key,
            UploadId=self._id,
            MultipartUpload={"Parts": self._parts},
            **self._condition,
        )


def abort_upload(url: S3Url, upload: str) -> None:
    """Have S3 forget an upload; one that it does not know, or may not be told of, is let be."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        client().abort_multipart_upload(Bucket=url.bucket, Key=url.key, UploadId=upload)


def abort_strays(url: S3Url) -> None:
    """Have S3 forget every unfinished upload of an object that is there: none of them can be finished any more."""
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(ClientError, BotoCoreError):
        for page in client().get_paginator("list_multipart_uploads").paginate(Bucket=url.bucket, Prefix=url.key):
            for found in page.get("Uploads", ()):
                if found["Key"] == url.key:
                    abort_upload(url, found["UploadId"])
