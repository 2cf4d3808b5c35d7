"""A store whose files are the objects of a bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

from pairlift.digest import sha256_bytes
from pairlift.errors import InputError, StorageError
from pairlift.storage.store import Found, Ready, Stored, Write
from pairlift.storage.url import S3Url

PIECE = 1 << 20
_probed: set[tuple[str, str]] = set()  # endpoints and buckets that are known to honour If-None-Match


class BucketStore:
    """The objects of a bucket whose keys begin with a prefix. The version of an object is its ETag."""

    def __init__(self, url: S3Url) -> None:
        from pairlift.storage.s3 import client

        self.root = str(url)
        self._url = url
        self._client = client()

    def create(self, name: str, data: bytes, mark: str) -> Stored | None:
        """Write a small object if none exists; see `Store.create`."""
        from pairlift.storage.conditional import Conditional, put

        sha256 = sha256_bytes(data)
        version = put(Conditional(url=self._at(name), mark=mark), data, sha256)
        return None if version is None else Stored(size=len(data), sha256=sha256, version=version)

    def swap(
        self, name: str, write: Write, mark: str, expected: str | None, ready: Ready | None = None
    ) -> Stored | None:
        """Write an object of any size if it still has the expected version; see `Store.swap`."""
        from pairlift.storage.conditional import Conditional
        from pairlift.storage.upload import Upload

        with Upload(Conditional(url=self._at(name), mark=mark, expected=expected)) as upload:
            write(cast("BinaryIO", upload))
            stored = Stored(size=upload.size, sha256=upload.sha256)
            if ready is not None:
                ready(stored)
            version = upload.finish()
        return None if version is None else dataclasses.replace(stored, version=version)

    def probe(self, name: str, mark: str) -> None:
        """Check, once for each bucket, that the store refuses to create an object that exists.

        Some stores ignore `If-None-Match` and overwrite the object. `If-Match` is not checked.

        Raises:
            StorageError: The store overwrites the object.
        """
        place = (str(self._client.meta.endpoint_url), self._url.bucket)
        if place in _probed:
            return
        self.create(name, b"probe", mark)
        # One success may mean that another process removed the object meanwhile. Two in a row are an overwrite.
        if self.create(name, b"probe", mark) is not None and self.create(name, b"probe", mark) is not None:
            raise StorageError(
                f"{self._at(name)}: the store ignores If-None-Match and overwrites the object, but pairlift needs it so that "
                "two processes cannot overwrite each other; use a store that supports it (docs/stores.md), or write to "
                "a local file and copy it"
            )
        _probed.add(place)

    def stat(self, name: str) -> Found | None:
        """See `Store.stat`."""
        return self.look(name)

    def look(self, name: str) -> Found | None:
        """Return an object's size, version, mark and digest; see `Store.look`."""
        from pairlift.storage.conditional import JOB, SHA256
        from pairlift.storage.s3 import ask, read_marks

        head = ask("head_object", self._at(name))
        if head is None:
            return None
        marks = read_marks(head)
        return Found(
            size=int(head["ContentLength"]),
            version=str(head["ETag"]),
            mark=marks.get(JOB, ""),
            sha256=marks.get(SHA256, ""),
        )

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; see `Store.read`."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        from pairlift.storage.s3 import ATTEMPTS, ask, s3_errors

        with s3_errors(self._at(name)):
            for attempt in range(ATTEMPTS):
                answer = ask("get_object", self._at(name))
                if answer is None:
                    return None
                with contextlib.closing(answer["Body"]) as body:
                    try:
                        return bytes(body.read())
                    except (HTTPClientError, IncompleteReadError):  # the connection broke
                        if attempt == ATTEMPTS - 1:
                            raise
        return None

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """See `Store.read_all`. Reads several objects at once, because each takes a round trip."""
        from pairlift.storage.s3 import CONNECTIONS

        names = [*names]
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="pairlift-read") as pool:
            read = zip(names, pool.map(self.read, names), strict=True)
            return {name: data for name, data in read if data is not None}

    def names(self, prefix: str) -> list[str]:
        """See `Store.names`."""
        return list(self.find(prefix))

    def find(self, prefix: str = "") -> dict[str, Found]:
        """Return objects with their sizes and versions; see `Store.find`."""
        from pairlift.storage.s3 import s3_errors

        found = {}
        with s3_errors(self.root):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._url.bucket, Prefix=self._url.key + prefix
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    name = str(each["Key"])[len(self._url.key) :]
                    if name:  # not the object by which a console represents an empty folder
                        found[name] = Found(size=int(each["Size"]), version=str(each["ETag"]))
        return dict(sorted(found.items()))

    def find_altered(self, expected: Mapping[str, Stored]) -> list[str]:
        """Return the names of altered objects, mostly by one listing; see `Store.find_altered`."""
        if len(expected) == 1:  # a listing may include many other objects whose names begin with this one
            found = {name: found for name in expected if (found := self.look(name)) is not None}
        else:
            prefix = os.path.commonprefix([*expected])  # noqa: RUF071 (a prefix of keys is compared by characters)
            found = self.find(prefix) if expected else {}
        return [name for name, stored in expected.items() if not self._is_same(name, stored, found.get(name))]

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, one per request: some stores do not support the request that removes many."""
        from pairlift.storage.s3 import CONNECTIONS

        names = [*names]
        if len(names) < 2:
            for name in names:
                self._remove(name)
            return
        with ThreadPoolExecutor(min(CONNECTIONS, len(names)), thread_name_prefix="pairlift-remove") as pool:
            for _ in pool.map(self._remove, names):
                pass

    def tidy(self, names: Iterable[str]) -> None:
        """Abort unfinished uploads; see `Store.tidy`."""
        from pairlift.storage.upload import abort_strays

        for name in names:
            abort_strays(self._at(name))

    def __reduce__(self) -> tuple[type[BucketStore], tuple[S3Url]]:
        """Pickle by URL: a client of S3 cannot be pickled."""
        return BucketStore, (self._url,)

    def _at(self, name: str) -> S3Url:
        return dataclasses.replace(self._url, key=self._url.key + name)

    def _is_same(self, name: str, stored: Stored, found: Found | None) -> bool:
        from pairlift.storage.conditional import is_version

        if found is None or found.size != stored.size:
            return False
        if stored.version:
            return is_version(found.version, stored.version)
        if not found.sha256:
            found = self.look(name)
        return found is not None and (found.sha256 or self._digest(name)) == stored.sha256

    def _digest(self, name: str) -> str:
        """Return the SHA-256 of an object whose metadata lacks it; an empty string if the object changes meanwhile."""
        from pairlift.storage.object_file import ObjectFile

        digest = hashlib.sha256()
        try:
            file = ObjectFile(self._at(name))
            while piece := file.read(PIECE):
                digest.update(piece)
        except InputError as error:
            if error.passing:
                raise StorageError(str(error)) from error
            return ""
        return digest.hexdigest()

    def _remove(self, name: str) -> None:
        from botocore.exceptions import ClientError

        from pairlift.storage.s3 import ABSENT, code_of, s3_errors

        with s3_errors(self._at(name)):
            try:
                self._client.delete_object(Bucket=self._url.bucket, Key=self._url.key + name)
            except ClientError as error:
                if code_of(error) not in ABSENT:
                    raise
