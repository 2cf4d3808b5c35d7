"""Names of objects: `s3://bucket/key`."""

from __future__ import annotations

import dataclasses

from pairlift.errors import UsageError

SCHEME = "s3://"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3Url:
    """An object, or, where the key ends in `/`, the objects whose keys begin with it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def is_remote(name: str) -> bool:
    """Whether a name is one of an object, and not of a file."""
    return name.startswith(SCHEME)


def parse_url(text: str) -> S3Url:
    """Read `s3://bucket/key`.

    Raises:
        UsageError: It has no bucket or no key.
    """
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not is_remote(text) or not bucket or not key.strip("/"):
        raise UsageError(f"{text}: expected s3://bucket/key")
    return S3Url(bucket=bucket, key=key)
