"""The S3 client, and messages for its errors.

The client finds endpoint, region and credentials as every AWS tool does: in the environment, in configuration files, or
from the instance.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from pairlift.errors import PairliftError, StorageError, UsageError, missing_extra
from pairlift.storage.url import S3Url

# Five retries, with growing pauses: a throttling bucket delays a request by some seconds, not for ever.
ATTEMPTS = 6
CONNECTIONS = 16  # the pool's size; as many threads read a job's parts, since boto3 warns about each further connection
CONNECT_SECONDS = 10
READ_SECONDS = 60
ABSENT = ("NoSuchKey", "404", "NotFound")
TAKEN = ("PreconditionFailed", "412")
LOST_UPLOAD = ("NoSuchUpload",)
IN_FLIGHT = ("ConditionalRequestConflict", "409", "OperationAborted")
# Temporary errors whose status, mostly 400, does not say so.
PASSING = (
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
)
ADVICE = {
    "NoSuchBucket": "no such bucket; make it, or fix the name",
    "AccessDenied": "access denied; give this role s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there",
    "403": "access denied; give this role s3:GetObject and s3:ListBucket there",
    "InvalidAccessKeyId": "the access key is not known there; fix the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; fix the credentials",
    "ExpiredToken": "the credentials have expired; renew them, then run the same command again",
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it, then run the same command again",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
} | dict.fromkeys(IN_FLIGHT, "another process is writing it at this moment; run the same command again")
_making = threading.Lock()


def client() -> Any:
    """Return the S3 client, which all threads share.

    Raises:
        UsageError: The extra is not installed, or the configuration names no region.
    """
    with _making:
        return _client()


@functools.cache
def _client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise missing_extra("s3://", "s3") from None
    from botocore.exceptions import BotoCoreError

    options: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": CONNECTIONS,
    }
    if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
        options["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    try:
        return boto3.session.Session().client("s3", config=Config(**options))
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"s3://: {error}; fix the AWS configuration") from error


def answer_of(error: Exception) -> dict[str, Any]:
    """Return the details of an error in S3's answer: mostly `Code` and `Message`; empty if S3 gave no answer."""
    response = getattr(error, "response", None)
    return dict(response.get("Error", {})) if isinstance(response, dict) else {}


def code_of(error: Exception) -> str:
    """Return S3's error code, or an empty string if S3 gave no answer."""
    return str(answer_of(error).get("Code", ""))


def status_of(error: Exception) -> int:
    """Return the HTTP status of S3's answer, or 0 if S3 gave none."""
    response = getattr(error, "response", None)
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) if isinstance(response, dict) else 0


def is_passing(error: Exception) -> bool:
    """Whether an error is temporary: the same request may succeed later."""
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.exceptions import HTTPClientError, IncompleteReadError, SSLError

    code, status = code_of(error), status_of(error)
    if code or status:
        return code in (*PASSING, *IN_FLIGHT) or status in (408, 429) or (status >= 500 and status != 501)
    on_the_way = (NoConnectionError, HTTPClientError, IncompleteReadError, OSError)
    return isinstance(error, on_the_way) and not isinstance(error, SSLError)


def explain(error: Exception) -> str:
    """Return a message that says what is wrong and what to do."""
    code = code_of(error)
    if code in ADVICE:
        return ADVICE[code]
    text = " ".join(str(error).split())[:200]
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return f"{text[0].lower()}{text[1:]}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if is_passing(error):
        return f"{text}; try again later: run the same command again"
    if code or status_of(error):
        return f"{text}; a retry would be refused again: docs/stores.md lists what a store must support"
    return f"{text}; fix the AWS configuration"


@contextlib.contextmanager
def s3_errors(url: object, kind: type[PairliftError] = StorageError) -> Iterator[None]:
    """Turn an error of S3 or of the connection into a `PairliftError` that names the object."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise kind(f"{url}: {explain(error)}") from error


def ask(request: str, url: S3Url) -> dict[str, Any] | None:
    """Return S3's answer to a request for an object, `head_object` or `get_object`; None if the object does not exist.

    Raises:
        StorageError: The request failed otherwise.
    """
    from botocore.exceptions import ClientError

    with s3_errors(url):
        try:
            answer: dict[str, Any] = getattr(client(), request)(Bucket=url.bucket, Key=url.key)
        except ClientError as error:
            if code_of(error) in ABSENT:
                return None
            raise
    return answer


def read_marks(answer: dict[str, Any]) -> dict[str, str]:
    """Return an object's metadata, with lower-case names: some servers capitalize the names of headers."""
    return {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
