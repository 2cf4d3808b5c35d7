"""The AWS Lambda function `pairlift.aws.handler`: pairs in, scores out; objects in, objects out.

The bundle is loaded when the handler is looked up, which Lambda does in its init phase, once per container. Importing the
modules of this package loads nothing.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["handler"]


def __getattr__(name: str) -> Any:
    """Load the bundle on the first access to `handler`; later accesses return the same handler."""
    if name != "handler":
        raise AttributeError(f"module 'pairlift.aws' has no attribute {name!r}")
    started = time.monotonic()
    from pairlift.aws.function import load_function

    globals()[name] = function = load_function(started)
    return function
