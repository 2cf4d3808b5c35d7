"""A scoring job with small chunks and a scorer that is a function of the text: everything but the model.

python tests/sweeps/stub_job.py PAIRS OUTPUT
"""

from __future__ import annotations

import sys
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
from pairlift import chunk, job, source
from pairlift.console import run_command
from pairlift.counts import Counts
from pairlift.job import score_file

CHUNK_ROWS = 8


class StubScorer:
    """Looks like a scorer to a job."""

    labels = ("no", "yes")
    variant = "fp32"
    threads = 1
    bundle = SimpleNamespace(digest="0" * 64, manifest=SimpleNamespace(fields=("first", "second")))

    def submit(self, pairs: list[tuple[str, str]]) -> Any:
        """Return logits made of the texts' checksums."""
        numbers = [[zlib.crc32(a.encode()) % 1000, zlib.crc32(b.encode()) % 1000] for a, b in pairs]
        logits = np.array(numbers, np.float32).reshape(-1, 2) / 500
        return SimpleNamespace(wait=lambda: logits, counts=Counts())


def main(pairs: str, output: str) -> int:
    """Run the job, and return the exit code of the command."""
    chunk.CHUNK_ROWS = job.CHUNK_ROWS = source.CHUNK_ROWS = CHUNK_ROWS
    job.replay = lambda scorer, rows: None  # type: ignore[assignment,return-value]
    return run_command(lambda: 1 if score_file(StubScorer(), pairs, output).totals.rejected else 0)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
