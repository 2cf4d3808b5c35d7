"""Two jobs on one destination, and inputs that change between a death and the resume.

    python tests/sweeps/races.py [ROUNDS]

Each round starts two processes on one output, a few milliseconds apart. One must make it; the other must end with exit code 7, or,
where it came after the commit, find it complete. Then, as often, a job is killed in the middle, its input is appended to, replaced
or cut off, and the resume must end with exit code 8 and touch nothing; or its input changes under a job that is reading it, which
must end with exit code 3 and leave nothing.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from small import DONE, JOB, SUFFIXES, check_resume, check_whole, digests, find_receipts, make_input, run

MANY = 20_000  # rows of a job that can be caught at work
CHANGES = ("append", "replace", "cut")


def race(source: Path, output: Path, expected: dict[str, str], delay: float) -> tuple[int, int]:
    """Start two jobs, and return their exit codes, the smaller one first."""
    command = [*JOB, "stub", str(source), str(output)]
    started = []
    for _ in range(2):
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        time.sleep(delay)
    said = [process.communicate()[1] for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) in ([DONE, 7], [DONE, DONE]), f"{codes}: {said}"
    for code, line in zip(codes, said, strict=True):
        assert code == DONE or "another process is at work" in line or "made by another process" in line, line
    assert digests(output) == expected
    return min(codes), max(codes)


def change(source: Path, how: str) -> None:
    """Change an input as others do."""
    data = source.read_bytes()
    if how == "append":
        with source.open("ab") as file:
            file.write(b'\n{"premise": "late", "hypothesis": "row"}')
    elif how == "replace":
        other = source.with_suffix(".new")
        other.write_bytes(data.replace(b"dog", b"cat"))
        other.replace(source)
    else:
        source.write_bytes(data[: len(data) // 2])


def start(source: Path, output: Path) -> subprocess.Popen[str]:
    """Start a job, and return it when it has a few chunks."""
    process = subprocess.Popen([*JOB, "stub", str(source), str(output)], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(find_receipts(output)) < 3:
        time.sleep(0.002)
    return process


def change_after_death(folder: Path, suffix: str, how: str) -> None:
    """Kill a job, change its input, and see that it does not go on."""
    source, output = make_many(folder), folder / f"out{suffix}"
    process = start(source, output)
    process.kill()
    process.communicate()
    assert process.returncode == -9, "the job was done before it was caught"
    before = (source.read_bytes(), source.stat())
    change(source, how)
    done = run(source, output)
    assert done.returncode == 8, f"{how}, {suffix}: {done.returncode}: {done.stderr}"
    assert "the unfinished job differs from this one: input in.jsonl (was " in done.stderr, done.stderr
    assert not output.exists()
    assert source.read_bytes() != before[0]


def change_under_work(folder: Path, suffix: str, how: str) -> None:
    """Change an input while a job reads it."""
    source, output = make_many(folder), folder / f"out{suffix}"
    process = start(source, output)
    change(source, how)
    _, said = process.communicate()
    assert process.returncode == 3, f"{how}, {suffix}: {process.returncode}: {said}"
    assert "changed while it was read" in said, said
    assert sorted(path.name for path in folder.iterdir()) == [source.name], list(folder.iterdir())


def make_many(folder: Path) -> Path:
    """Write an input that takes seconds."""
    path = folder / "in.jsonl"
    path.write_text("\n".join(json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat"}) for i in range(MANY)))
    return path


def main(rounds: str = "200") -> None:
    """Run everything, and count."""
    ends: Counter[tuple[int, int]] = Counter()
    changed: Counter[str] = Counter()
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = make_input(folder)
        expected = {}
        for suffix in SUFFIXES:
            calm = folder / f"calm{suffix}" / f"out{suffix}"
            calm.parent.mkdir()
            assert run(source, calm).returncode == DONE
            expected[suffix] = digests(calm)
        for number in range(int(rounds)):
            suffix = SUFFIXES[number % len(SUFFIXES)]
            output = folder / "race" / f"out{suffix}"
            output.parent.mkdir()
            ends[race(source, output, expected[suffix], chance.choice((0, 0, 0.01, 0.05, 0.2)))] += 1
            assert check_whole(output, expected[suffix], f"round {number}")
            check_resume(source, output, expected[suffix], f"round {number}")
            shutil.rmtree(output.parent)
            if number % 10 == 0:
                how = CHANGES[number // 10 % len(CHANGES)]
                for attempt in (change_after_death, change_under_work):
                    place = folder / "changed"
                    place.mkdir()
                    attempt(place, suffix, how)
                    changed[f"{attempt.__name__}, {how}"] += 1
                    shutil.rmtree(place)
    print(
        f"races: {sum(ends.values())} rounds: "
        + ", ".join(f"exit codes {a} and {b}: {n}" for (a, b), n in sorted(ends.items()))
    )
    print("changes: " + ", ".join(f"{what} {n}" for what, n in sorted(changed.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
