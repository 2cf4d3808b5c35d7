"""A bucket's objects as a store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any, BinaryIO, cast

from pairlift.digest import sha256_bytes
from pairlift.errors import StorageError
from pairlift.storage.store import Found, Ready, Stored, Write
from pairlift.storage.url import S3Url


class BucketStore:
    """Objects under a prefix of a bucket's keys."""

    def __init__(self, url: S3Url) -> None:
        from pairlift.storage.s3 import client

        self.root = str(url)
        self._url = url
        self._client = client()

    def create(self, name: str, data: bytes, job: str) -> bool:
        """Write an object where there is none; as `Store.create`."""
        from pairlift.storage.upload import JOB, NEW, SHA256, put

        return put(self._at(name), data, {JOB: job, SHA256: sha256_bytes(data)}, NEW)

    def write(self, name: str, write: Write, job: str, ready: Ready) -> bool:
        """Write an object of any size where there is none; as `Store.write`."""
        from pairlift.storage.upload import JOB, Upload

        with Upload(self._at(name), {JOB: job}) as upload:
            write(cast("BinaryIO", upload))
            ready(Found(job=job, size=upload.size, sha256=upload.sha256))
            return upload.finish()

    def replace(self, name: str, write: Write, job: str) -> None:
        """Write an object of any size, over what is there."""
        from pairlift.storage.upload import JOB, Upload

        with Upload(self._at(name), {JOB: job}, over=True) as upload:
            write(cast("BinaryIO", upload))
            upload.finish()

    def look(self, name: str) -> Found | None:
        """Return an object's size and marks; as `Store.look`."""
        from pairlift.storage.upload import JOB, SHA256

        head = self._ask("head_object", name)
        if head is None:
            return None
        marks = head["Metadata"]
        return Found(job=marks.get(JOB, ""), size=int(head["ContentLength"]), sha256=marks.get(SHA256, ""))

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; as `Store.read`."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        from pairlift.storage.s3 import ATTEMPTS, s3_errors

        with s3_errors(self._at(name)):
            for attempt in range(ATTEMPTS):
                answer = self._ask("get_object", name)
                if answer is None:
                    return None
                with contextlib.closing(answer["Body"]) as body:
                    try:
                        return bytes(body.read())
                    except (HTTPClientError, IncompleteReadError):  # broken off on the way
                        if attempt == ATTEMPTS - 1:
                            raise
        return None

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return objects with their sizes; as `Store.sizes`."""
        from pairlift.storage.s3 import s3_errors

        with s3_errors(self.root):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._url.bucket, Prefix=self._url.key + prefix
            )
            found = {o["Key"][len(self._url.key) :]: int(o["Size"]) for page in pages for o in page.get("Contents", ())}
        return dict(sorted(found.items()))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, a thousand at a time."""
        from pairlift.storage.s3 import s3_errors

        keys = [{"Key": self._url.key + name} for name in names]
        for begin in range(0, len(keys), 1000):
            with s3_errors(self.root):
                answer = self._client.delete_objects(
                    Bucket=self._url.bucket, Delete={"Objects": keys[begin : begin + 1000], "Quiet": True}
                )
            for failure in answer.get("Errors", ()):
                raise StorageError(
                    f"s3://{self._url.bucket}/{failure['Key']}: cannot be removed ({failure.get('Code')})"
                )

    def tidy(self, names: Iterable[str]) -> None:
        """Abort unfinished uploads; as `Store.tidy`."""
        from pairlift.storage.upload import abort_strays

        for name in names:
            abort_strays(self._at(name))

    def _at(self, name: str) -> S3Url:
        return dataclasses.replace(self._url, key=self._url.key + name)

    def _ask(self, request: str, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        from pairlift.storage.s3 import ABSENT, code_of, s3_errors

        with s3_errors(self._at(name)):
            try:
                answer: dict[str, Any] = getattr(self._client, request)(
                    Bucket=self._url.bucket, Key=self._url.key + name
                )
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
        return answer
