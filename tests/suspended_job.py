"""A scoring job in a process of its own that stops itself (SIGSTOP) where it is told to, as a machine that hangs there would.

python tests/suspended_job.py INPUT OUTPUT VARIANT OPTIONS [before|after:PATTERN]…

OPTIONS is JSON for `score_file`. A pattern is one of file names that are written; each stops the process once, in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from pairlift.console import run_command
from pairlift.encoding.counts import Counts
from pairlift.inputs.options import JobOptions
from pairlift.jobs import job
from pairlift.storage.directory import DirectoryStore

CHUNK_ROWS = 8
GONE = 9  # the exit code of a bug


class StubScorer:
    """Looks like a scorer to a job; its scores are a function of the texts and the variant."""

    labels = ("no", "yes")
    threads = 1
    temperature = 1.0
    bundle = SimpleNamespace(
        digest="0" * 64, path="/nonexistent", manifest=SimpleNamespace(fields=("premise", "hypothesis"))
    )

    def __init__(self, variant: str) -> None:
        self.variant = variant

    def submit(self, pairs: list[tuple[str, str]]) -> Any:
        """Return logits made of the texts' checksums."""
        texts = [(f"{self.variant} {a}".encode(), f"{self.variant} {b}".encode()) for a, b in pairs]
        numbers = [[zlib.crc32(a) % 1000, zlib.crc32(b) % 1000] for a, b in texts]
        logits = np.array(numbers, np.float32).reshape(-1, 2) / 500
        return SimpleNamespace(wait=lambda: logits, counts=Counts())


def score_stub(source: str, output: str, variant: str, **asked: Any) -> int:
    """Score a file with the stub, and return the exit code of the command."""
    scorer: Any = StubScorer(variant)
    job.replay = lambda scorer, rows: None  # type: ignore[assignment,return-value]
    options = JobOptions(chunk_rows=CHUNK_ROWS)
    return run_command(lambda: 1 if job.score_file(scorer, source, output, options, **asked).totals.rejected else 0)


def stop_at(stops: list[str]) -> None:
    """Have this process stop itself at writes of files, the first of them, then the second."""
    from pairlift.storage.bucket import BucketStore

    def wrap(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(store: Any, name: str, *rest: Any, **named: Any) -> Any:
            def stop(when: str) -> None:
                if stops and re.fullmatch(stops[0], f"{when}:{name}"):
                    del stops[0]
                    os.kill(os.getpid(), signal.SIGSTOP)

            stop("before")
            done = write(store, name, *rest, **named)
            stop("after")
            return done

        return wrapped

    # In a directory the one calls the other.
    DirectoryStore.swap = wrap(DirectoryStore.swap)  # type: ignore[method-assign]
    BucketStore.swap = wrap(BucketStore.swap)  # type: ignore[method-assign]
    BucketStore.create = wrap(BucketStore.create)  # type: ignore[method-assign]


if __name__ == "__main__":
    source, output, variant, options, *stops = sys.argv[1:]
    stop_at(stops)
    sys.exit(score_stub(source, output, variant, **json.loads(options)))
