"""Make tests/data/jobs/format2: what a version of pairlift left whose jobs were of format 2, finished and not.

Commit 0cb6eff is the last one that did. Run from the project's root, with that commit's package:

    git worktree add /tmp/old 0cb6eff
    PYTHONPATH=/tmp/old/infer python tests/data/make_old_jobs.py
    git worktree remove /tmp/old

The newest version has a format of its own, so these files are kept, not made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODIFIED = 1_700_000_000 * 10**9  # of the input, which a job knows by its size and time


class DiesError(Exception):
    """Stands for a death."""


def die(step: Any) -> None:
    """End a job after its first chunk."""
    raise DiesError


def main() -> None:
    """Score twelve rows in chunks of four: to a file and to a directory, each to its end and not."""
    from pairlift import Scorer
    from pairlift import chunk as old  # type: ignore[attr-defined]
    from pairlift.jobs.job import score_file

    old.CHUNK_ROWS = 4
    folder = HERE / "jobs/format2"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / "in.jsonl"
    lines = [json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat"}) for i in range(12)]
    source.write_text("".join(f"{'{broken' if i == 5 else line}\n" for i, line in enumerate(lines)))
    os.utime(source, ns=(MODIFIED, MODIFIED))
    scorer = Scorer.open(HERE / "bundle")
    for output in ("finished.jsonl", "finished/"):
        score_file(scorer, str(source), f"{folder}/{output}")
    for output in ("unfinished.jsonl", "unfinished/"):
        with contextlib.suppress(DiesError):
            score_file(scorer, str(source), f"{folder}/{output}", progress=die)
    scorer.close()


if __name__ == "__main__":
    main()
