"""Stores: files under one root, each written whole and once; the root is a directory, or the prefix of objects' keys."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from uuid import uuid4

from pairlift.digest import sha256_bytes, sha256_file
from pairlift.errors import StorageError
from pairlift.staging import sync_directory, write_durably
from pairlift.storage.url import SCHEME, S3Url, is_remote

PARTIAL = ".partial"  # the end of the names of files that are being written


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that is there; `job` is the mark that it was written with, or None where files have no marks."""

    job: str | None
    size: int
    sha256: str


Ready = Callable[[Found], object]
Write = Callable[[BinaryIO], object]


class Store(Protocol):
    """Files under a root. Names may have a folder in them; errors are `StorageError`s."""

    root: str

    def create(self, name: str, data: bytes, job: str) -> bool:
        """Write a file where there is none, durably; return whether it was written."""
        ...

    def write(self, name: str, write: Write, job: str, ready: Ready) -> bool:
        """Write a file of any size where there is none; `ready` is called when it is complete and has no name yet."""
        ...

    def replace(self, name: str, write: Write, job: str) -> None:
        """Write a file of any size, over what is there."""
        ...

    def look(self, name: str) -> Found | None:
        """Return what is known of a file, or None when it is not there."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None when it is not there."""
        ...

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the files whose names begin so, with their sizes, in order."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is none the less removed."""
        ...

    def tidy(self, names: Iterable[str]) -> None:
        """Forget what unfinished writes of files whose names begin so have left; theirs, too, who are at it now."""
        ...


def open_store(root: str) -> Store:
    """Return the store of a root that ends in `/`; it may be a whole bucket."""
    if is_remote(root):
        bucket, _, key = root.removeprefix(SCHEME).partition("/")
        return BucketStore(S3Url(bucket=bucket, key=key))
    return DirectoryStore(root)


class DirectoryStore:
    """Files in a directory, which is made when it is first written to."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._path = Path(root)

    def create(self, name: str, data: bytes, job: str) -> bool:
        """Write a file where there is none; as `Store.create`."""
        return self.write(name, lambda file: file.write(data), job, lambda found: None)

    def write(self, name: str, write: Write, job: str, ready: Ready) -> bool:
        """Write a file of any size where there is none; as `Store.write`."""
        while True:
            with contextlib.suppress(FileNotFoundError):  # who has just finished the job took the folder away
                return self._write_new(self._path / name, write, ready)

    def replace(self, name: str, write: Write, job: str) -> None:
        """Write a file of any size, over what is there."""
        path = self._path / name
        self._write_partial(path, write).rename(path)
        sync_directory(path.parent)

    def look(self, name: str) -> Found | None:
        """Return a file's size and digest; as `Store.look`."""
        try:
            return Found(job=None, size=(self._path / name).stat().st_size, sha256=sha256_file(self._path / name))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; as `Store.read`."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return files with their sizes; as `Store.sizes`."""
        found = {}
        for folder, _, files in os.walk(self._path):
            for file in files:
                path = Path(folder) / file
                name = path.relative_to(self._path).as_posix()
                if name.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = path.lstat().st_size
        return dict(sorted(found.items()))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folders that they leave empty."""
        folders = set()
        for name in names:
            (self._path / name).unlink(missing_ok=True)
            folders.add((self._path / name).parent)
        for folder in folders - {self._path}:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def tidy(self, names: Iterable[str]) -> None:
        """Remove what unfinished writes have left; as `Store.tidy`."""
        for name in names:
            path = self._path / name
            for partial in path.parent.glob(f".{glob.escape(path.name)}*{PARTIAL}"):
                partial.unlink(missing_ok=True)

    def _write_new(self, path: Path, write: Write, ready: Ready) -> bool:
        partial = self._write_partial(path, write)
        try:
            ready(Found(job=None, size=partial.stat().st_size, sha256=sha256_file(partial)))
            os.link(partial, path)  # unlike a rename, never over a file that came meanwhile
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                return False
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_directory(path.parent)
        return True

    def _write_partial(self, path: Path, write: Write) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Hidden from who looks for parts, and its own on every machine that sees the directory.
        partial = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
        try:
            write_durably(partial, write)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return partial


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
