"""What the sweeps share: a small input, the job that scores it, and what is left when it is done."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

SUFFIXES = (".csv", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
JOB = [sys.executable, str(Path(__file__).with_name("small_job.py"))]
DONE = 1  # the exit code of a job with rejected rows


def make_input(folder: Path) -> Path:
    """Write 30 rows, three of them broken."""
    rows = [
        json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat " * i}) if i % 10 != 4 else "{broken"
        for i in range(30)
    ]
    path = folder / "in.jsonl"
    path.write_text("\n".join(rows))
    return path


def run(
    source: Path, output: Path, kind: str = "stub", under: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the job to its end, perhaps under another command."""
    return subprocess.run(
        [*(under or []), *JOB, kind, str(source), str(output)], capture_output=True, text=True, check=False
    )


def digests(output: Path) -> dict[str, str]:
    """Return the digest of everything that is in the output's folder; of a manifest, what each run has alike."""
    found = {}
    for path in output.parent.iterdir():
        if path.is_dir():
            found[path.name] = "a directory"
            continue
        data = path.read_bytes()
        if path.name.endswith(".manifest.json"):
            data = json.dumps({k: v for k, v in json.loads(data).items() if k not in ("last_run", "mark")}).encode()
        found[path.name] = hashlib.sha256(data).hexdigest()
    return found


def find_receipts(output: Path) -> list[Path]:
    """Return the receipts of the chunks that are done of a job that is not finished."""
    return list(output.with_name(f"{output.name}.job").glob("*/*.json"))


def check_whole(output: Path, expected: dict[str, str], where: str) -> bool:
    """Hold an output that is there to what it must be, and return whether it is there."""
    if not os.path.lexists(output):
        return False
    found = hashlib.sha256(output.read_bytes()).hexdigest()
    assert found == expected[output.name], f"{where}: a partial output"
    return True


def check_resume(source: Path, output: Path, expected: dict[str, str], where: str, kind: str = "stub") -> None:
    """Run the job to its end, and hold everything that is left to what an undisturbed job leaves."""
    done = run(source, output, kind)
    assert done.returncode == DONE, f"{where}: the resume gave {done.returncode}: {done.stderr}"
    assert digests(output) == expected, f"{where}: {digests(output)}, expected {expected}"
