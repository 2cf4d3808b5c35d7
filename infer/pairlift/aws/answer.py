"""Answers: what Lambda will send is finite JSON, and small enough to be sent."""

from __future__ import annotations

import json
from typing import Any

from pairlift.errors import UsageError

MOST_BYTES = 6_291_456  # Lambda's limit of an answer, 6 MB


def measure_answer(answer: dict[str, Any]) -> int:
    """Return the bytes that Lambda's runtime makes of an answer.

    It writes JSON with blanks and, in Python 3.11, escapes everything but ASCII; where it does not, there are fewer bytes.

    Raises:
        ValueError: The answer holds NaN or infinity, which is a bug.
    """
    return len(json.dumps(answer, allow_nan=False))


def explain_size(size: int) -> str:
    """Return what is said of an answer that is too large."""
    return (
        f"the answer has {size:,} bytes, expected at most {MOST_BYTES:,}, which is what Lambda can return; send fewer pairs "
        "in a request, or have a file scored from s3:// to s3://"
    )


def check_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that can be sent.

    Raises:
        UsageError: It is too large.
    """
    size = measure_answer(answer)
    if size > MOST_BYTES:
        raise UsageError(explain_size(size))
    return answer
