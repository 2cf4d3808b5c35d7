"""Open what a name refers to: a file, an object or standard input to read, or the store of a root."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import BinaryIO

from pairlift.errors import InputError
from pairlift.storage.store import Store
from pairlift.storage.url import SCHEME, S3Url, is_remote

STREAM = "-"


def open_input(path: str) -> BinaryIO:
    """Open a file, an object (`s3://bucket/key`), or standard input for `-`.

    Raises:
        InputError: It does not exist, or cannot be read.
        UsageError: The extra that objects need is not installed.
    """
    if path == STREAM:
        return sys.stdin.buffer
    if is_remote(path):
        from pairlift.storage.object_file import open_object

        return open_object(path)
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            raise InputError(f"{path}: is a pipe, which can be read once only; give it as standard input: - < {path}")
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}; expected a file of pairs") from error


def open_store(root: str, scratch: str = "") -> Store:
    """Return the store of a root that ends with `/`.

    Args:
        root: A directory, or `s3://bucket/prefix/`, which may be a whole bucket.
        scratch: The folder below a directory for temporary files; ends with `/`.
    """
    if is_remote(root):
        from pairlift.storage.bucket import BucketStore

        bucket, _, key = root.removeprefix(SCHEME).partition("/")
        return BucketStore(S3Url(bucket=bucket, key=key))
    from pairlift.storage.directory import DirectoryStore

    return DirectoryStore(root, scratch)
