"""URLs of objects: `s3://bucket/key`."""

from __future__ import annotations

import dataclasses

from pairlift.errors import UsageError

SCHEME = "s3://"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3Url:
    """The URL of an object, or of all objects whose keys begin with a key that ends with `/`."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def is_remote(name: str) -> bool:
    """Whether a name is that of an object, and not of a file."""
    return name.startswith(SCHEME)


def parse_url(text: str) -> S3Url:
    """Parse `s3://bucket/key`.

    Raises:
        UsageError: The text is not an S3 URL, or has no bucket or no key.
    """
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not is_remote(text) or not bucket or not key.strip("/"):
        raise UsageError(f"{text}: expected s3://bucket/key")
    return S3Url(bucket=bucket, key=key)
