"""Kill a job at every system call that leaves a trace on the disk, or make that call fail; resume; compare every byte.

    python tests/sweeps/crash.py [kill|ENOSPC|EIO]

Needs strace. A job is run once to count its calls; then again and again, with the N-th call of one kind killed (or failing),
every fifth of them once more while it resumes. After each the destination must not exist or be whole; after the resume it, its
rejects and its manifest must be what an undisturbed job makes, and nothing else may be left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CALLS = ("write", "pwrite64", "fsync", "rename", "renameat2", "openat", "unlink", "unlinkat", "link", "linkat", "mkdir", "rmdir", "flock")  # fmt: skip
SUFFIXES = (".csv", ".jsonl", ".jsonl.gz", ".jsonl.zst")
JOB = [sys.executable, str(Path(__file__).with_name("stub_job.py"))]
DONE = 1  # the exit code of a job with rejected rows


def make_input(folder: Path) -> Path:
    """Write 30 rows, three of them broken."""
    rows = [json.dumps({"first": f"text {i}", "second": "x" * i}) if i % 10 != 4 else "{broken" for i in range(30)]
    path = folder / "in.jsonl"
    path.write_text("\n".join(rows))
    return path


def run(source: Path, output: Path, inject: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the job, perhaps with a call injected."""
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={','.join(CALLS)}", "-e", f"inject={inject}"]
    return subprocess.run(
        [*(strace if inject else []), *JOB, str(source), str(output)], capture_output=True, text=True, check=False
    )


def count_calls(source: Path, output: Path) -> dict[str, range]:
    """Return for each kind of call the numbers of those from the first that touches the job on."""
    log = output.parent / "strace.log"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *JOB, str(source), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == DONE, done.stderr
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    begun = False
    for line in log.read_text(errors="replace").splitlines():
        found = re.match(r"\d+ +(\w+)\(", line)
        if not found:
            continue
        seen[found[1]] += 1
        begun = begun or f"{output.name}.job" in line
        if begun:
            first.setdefault(found[1], seen[found[1]])
    log.unlink()
    return {call: range(first[call], seen[call] + 1) for call in CALLS if call in first}


def digests(output: Path) -> dict[str, str]:
    """Return the digest of everything that is in the output's folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a directory"
        for path in output.parent.iterdir()
    }


def main(what: str = "kill") -> None:
    """Sweep over every call of every format, and count."""
    fault = "signal=SIGKILL" if what == "kill" else f"error={what}"
    points = deaths = whole = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = make_input(folder)
        for suffix in SUFFIXES:
            calm = folder / f"calm{suffix}" / f"out{suffix}"
            calm.parent.mkdir()
            calls = count_calls(source, calm)
            expected = digests(calm)
            assert len(expected) == 3, expected
            for call, numbers in calls.items():
                for number in numbers:
                    output = folder / "swept" / f"out{suffix}"
                    output.parent.mkdir()
                    where = f"{what} at {call} {number} of {numbers.stop - 1}, {suffix}"
                    inject = f"{call}:{fault}:when={number}"
                    done = run(source, output, inject)
                    points += 1
                    deaths += done.returncode not in (DONE, 0)
                    check_whole(output, expected, where)
                    whole += output.exists()
                    if what != "kill":
                        assert done.returncode in (DONE, 5), f"{where}: exit {done.returncode}: {done.stderr}"
                        assert "Traceback" not in done.stderr, f"{where}: {done.stderr}"
                    if number % 5 == 0:  # a second one, while it resumes
                        run(source, output, inject)
                        check_whole(output, expected, where)
                    done = run(source, output)
                    assert done.returncode == DONE, f"{where}: the resume gave {done.returncode}: {done.stderr}"
                    assert digests(output) == expected, f"{where}: {digests(output)}, expected {expected}"
                    shutil.rmtree(output.parent)
                print(f"{suffix} {call}: {len(numbers)} points", flush=True)
    print(
        f"{what}: {points} points, {deaths} deaths, output already there at {whole}; every resume gave the same bytes"
    )


def check_whole(output: Path, expected: dict[str, str], where: str) -> None:
    """Hold an output that is there to what it must be."""
    if os.path.lexists(output):
        assert digests(output)[output.name] == expected[output.name], f"{where}: a partial output"


if __name__ == "__main__":
    main(*sys.argv[1:])
