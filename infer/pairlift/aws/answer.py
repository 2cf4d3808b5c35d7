"""Answers: checked to be finite JSON, and small enough for Lambda to return."""

from __future__ import annotations

import json
from typing import Any

from pairlift.errors import UsageError

MOST_BYTES = 6_291_456  # Lambda's limit of an answer, 6 MB


def measure_answer(answer: dict[str, Any]) -> int:
    """Return the size in bytes of an answer as Lambda's runtime serialises it.

    The runtime writes JSON with blanks. On Python 3.11 it escapes everything but ASCII; otherwise the answer
    is smaller.

    Raises:
        ValueError: The answer holds NaN or infinity, which is a bug.
    """
    return len(json.dumps(answer, allow_nan=False))


def explain_size(size: int) -> str:
    """Return the message for an answer that is too large."""
    return (
        f"the answer has {size:,} bytes, expected at most {MOST_BYTES:,} (Lambda's limit); send fewer pairs in "
        "a request, or score a file from s3:// to s3://"
    )


def check_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer, if it is small enough to be sent.

    Raises:
        UsageError: It is too large.
    """
    size = measure_answer(answer)
    if size > MOST_BYTES:
        raise UsageError(explain_size(size))
    return answer
