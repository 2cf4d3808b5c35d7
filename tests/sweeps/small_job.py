"""A scoring job with chunks of eight rows, by the small bundle or by a scorer that is a function of the text.

python tests/sweeps/small_job.py stub|real INPUT OUTPUT
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pairlift.console import run_command
from pairlift.encoding.counts import Counts
from pairlift.inputs.options import JobOptions
from pairlift.jobs import job
from pairlift.jobs.job import score_file
from pairlift.model.scorer import Scorer

OPTIONS = JobOptions(chunk_rows=8)
BUNDLE = Path(__file__).parent.parent / "data/bundle"


class StubScorer:
    """Looks like a scorer to a job."""

    labels = ("no", "yes")
    variant = "fp32"
    threads = 1
    temperature = 1.0
    bundle = SimpleNamespace(path=BUNDLE, digest="0" * 64, manifest=SimpleNamespace(fields=("premise", "hypothesis")))

    def submit(self, pairs: list[tuple[str, str]]) -> Any:
        """Return logits made of the texts' checksums."""
        numbers = [[zlib.crc32(a.encode()) % 1000, zlib.crc32(b.encode()) % 1000] for a, b in pairs]
        logits = np.array(numbers, np.float32).reshape(-1, 2) / 500
        return SimpleNamespace(wait=lambda: logits, counts=Counts())


def main(kind: str, pairs: str, output: str) -> int:
    """Run the job, and return the exit code of the command."""
    if output.endswith(".parquet"):
        import pyarrow.parquet

        # Hundreds of files of its own, and of pandas, are read before the job, whose calls are counted.
        pyarrow.array([""])
    scorer: Any = StubScorer() if kind == "stub" else Scorer.open(BUNDLE)
    if kind == "stub":
        job.replay = lambda scorer, rows: None  # type: ignore[assignment,return-value]
    return run_command(lambda: 1 if score_file(scorer, pairs, output, OPTIONS).totals.rejected else 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
