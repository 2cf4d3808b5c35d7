"""Conditional writes of objects: a write succeeds only if the object still has the expected version.

So of several concurrent writes, exactly one succeeds.

If the answer to a write is lost, its retry is refused because the first try succeeded. So each write stores a random
number in the object's metadata. If a write is refused, it checks whether the object carries its own number.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable
from typing import Any

from pairlift.errors import StorageError
from pairlift.storage.s3 import (
    ABSENT,
    IN_FLIGHT,
    LOST_UPLOAD,
    TAKEN,
    answer_of,
    ask,
    client,
    code_of,
    explain,
    read_marks,
    status_of,
)
from pairlift.storage.url import S3Url

JOB = "pairlift-job"  # metadata: the mark of the job that wrote the object
SHA256 = "pairlift-sha256"  # metadata: digest of the bytes; a multipart upload lacks it, as it sends metadata first
WRITE = "pairlift-write"  # metadata: a random number that identifies a write whose answer was lost
TRIES = 5
PAUSE = 0.1  # seconds before the first retry of a write that conflicted with another one; doubled each time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """One conditional write of an object.

    Attributes:
        url: The object.
        mark: The mark of the job that writes it.
        expected: The ETag of the object that is replaced; None if no object may exist.
        token: A random number that identifies this write, even among writes of the same bytes.
    """

    url: S3Url
    mark: str
    expected: str | None = None
    token: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        if self.expected == "":
            raise ValueError("a condition needs the version that is replaced")

    @property
    def where(self) -> dict[str, str]:
        """The request parameters that name the object."""
        return {"Bucket": self.url.bucket, "Key": self.url.key}

    @property
    def marks(self) -> dict[str, str]:
        """The object's metadata, without the digest of its bytes."""
        return {JOB: self.mark, WRITE: self.token}

    @property
    def condition(self) -> dict[str, str]:
        """The request parameter that states the condition."""
        return {"IfNoneMatch": "*"} if self.expected is None else {"IfMatch": self.expected}


def put(write: Conditional, data: bytes, sha256: str) -> str | None:
    """Write an object in one request; return its ETag, or None if the object does not have the expected version.

    Raises:
        StorageError: The object cannot be written.
    """
    marks = write.marks | {SHA256: sha256}
    where = write.where | write.condition
    return settle(write, lambda: client().put_object(**where, Body=data, Metadata=marks))


def settle(write: Conditional, request: Callable[[], dict[str, Any]]) -> str | None:
    """Repeat a conditional request until it succeeds or is refused; return the object's ETag, or None if refused."""
    from botocore.exceptions import BotoCoreError, ClientError

    for attempt in range(TRIES):
        try:
            return str(request().get("ETag", ""))
        except (ClientError, BotoCoreError) as error:
            code = code_of(error)
            if code in (*TAKEN, *LOST_UPLOAD) or (code in ABSENT and write.expected is not None):
                return _recognize(write, lost=code in LOST_UPLOAD)
            if _lacks_conditions(error):
                raise StorageError(_name_what_is_lacking(write, code or str(status_of(error)))) from error
            if code not in IN_FLIGHT or attempt == TRIES - 1:
                raise StorageError(f"{write.url}: {explain(error)}") from error
        time.sleep(PAUSE * 2**attempt)  # another process is writing the object; after the pause one of the two has won
    raise AssertionError


def _recognize(write: Conditional, lost: bool) -> str | None:
    """Return the object's ETag if this write wrote it: its answer was lost, and then its retry was refused.

    Args:
        write: The write that was refused.
        lost: Whether it was refused because its upload no longer exists; otherwise because of the condition.
    """
    head = ask("head_object", write.url)
    if head is not None and read_marks(head).get(WRITE) == write.token:
        return str(head["ETag"])
    if lost and is_version(write.expected, None if head is None else str(head["ETag"])):
        raise StorageError(f"{write.url}: its upload was aborted by another process; run the same command again")
    return None


def is_version(one: str | None, other: str | None) -> bool:
    """Whether two ETags are the same, with or without quotes; None stands for no object."""
    return (one and one.strip('"')) == (other and other.strip('"'))


def _lacks_conditions(error: Exception) -> bool:
    """Whether a conditional write failed because the store does not support conditional writes."""
    said = answer_of(error)
    header = str(said.get("Header", "")).lower()  # S3 names the header that it does not support
    if status_of(error) == 501 or code_of(error) == "NotImplemented":
        return header in ("", "if-match", "if-none-match")
    message = str(said.get("Message", "")).lower()
    hints = ("if-none-match", "if-match", "conditional", "not implemented")
    return status_of(error) == 400 and any(hint in message for hint in hints)


def _name_what_is_lacking(write: Conditional, code: str) -> str:
    header = "If-None-Match" if write.expected is None else "If-Match"
    return (
        f"{write.url}: the store answers {code} to a conditional write ({header}), which pairlift needs so that two "
        "processes cannot overwrite each other; use a store that supports it (docs/stores.md), or write to a local "
        "file and copy it"
    )
