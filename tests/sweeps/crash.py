"""Kill a job at every system call that leaves a trace on the disk, or make that call fail; resume; compare every byte.

    python tests/sweeps/crash.py [kill|ENOSPC|EIO] [stub|real] [POINTS]

Needs strace. A job is run once to count its calls; then again and again, with the N-th call of one kind killed (or failing),
every fifth of them once more while it resumes. After each the destination must not exist or be whole; after the resume it, its
rejects and its manifest must be what an undisturbed job makes, and nothing else may be left. With POINTS, so many points spread
over all of them.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from small import DONE, SUFFIXES, check_resume, check_whole, digests, make_input, run

CALLS = ("write", "pwrite64", "fsync", "rename", "renameat", "renameat2", "openat", "unlink", "unlinkat", "link", "linkat", "mkdir", "mkdirat", "rmdir", "flock")  # fmt: skip
TRACE = ["strace", "-f", "-qq", "-e", f"trace={','.join(CALLS)}"]


def count_calls(source: Path, output: Path, kind: str) -> dict[str, range]:
    """Return for each kind of call of the main thread the numbers of those from the first that touches the job on."""
    log = output.parent / "strace.log"
    done = run(source, output, kind, [*TRACE, "-o", str(log)])
    assert done.returncode == DONE, done.stderr
    lines = [m for line in log.read_text(errors="replace").splitlines() if (m := re.match(r"(\d+) +(\w+)\((.*)", line))]
    log.unlink()
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    begun = False
    for line in lines:
        if line[1] != lines[0][1]:
            continue  # strace counts the calls of each thread by themselves
        seen[line[2]] += 1
        begun = begun or f"{output.name}.job" in line[3]
        if begun:
            first.setdefault(line[2], seen[line[2]])
    return {call: range(first[call], seen[call] + 1) for call in CALLS if call in first}


def main(what: str = "kill", kind: str = "stub", points: str = "") -> None:
    """Sweep over every call of every format, and count."""
    fault = "signal=SIGKILL" if what == "kill" else f"error={what}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = make_input(folder)
        expected: dict[str, dict[str, str]] = {}
        todo: list[tuple[str, str, int]] = []
        for suffix in SUFFIXES:
            calm = folder / f"calm{suffix}" / f"out{suffix}"
            calm.parent.mkdir()
            calls = count_calls(source, calm, kind)
            expected[suffix] = digests(calm)
            assert len(expected[suffix]) == 3, expected[suffix]
            todo += [(suffix, call, number) for call, numbers in calls.items() for number in numbers]
            print(f"{suffix}: {', '.join(f'{call} {len(numbers)}' for call, numbers in calls.items())}", flush=True)
        if points:
            todo = [todo[i * len(todo) // int(points)] for i in range(int(points))]

        def attempt(place: int) -> tuple[bool, bool]:
            """Try one point, and return whether the job died there, and whether its output was there all the same."""
            suffix, call, number = todo[place]
            output = folder / f"swept{place}" / f"out{suffix}"
            output.parent.mkdir()
            where = f"{what} at {call} {number}, {suffix}"
            under = [*TRACE, "-o", "/dev/null", "-e", f"inject={call}:{fault}:when={number}"]
            done = run(source, output, kind, under)
            whole = check_whole(output, expected[suffix], where)
            if what != "kill":
                assert done.returncode in (DONE, 5), f"{where}: exit {done.returncode}: {done.stderr}"
                assert "Traceback" not in done.stderr, f"{where}: {done.stderr}"
            if number % 5 == 0:  # a second one, while it resumes
                run(source, output, kind, under)
                check_whole(output, expected[suffix], where)
            check_resume(source, output, expected[suffix], where, kind)
            shutil.rmtree(output.parent)
            return done.returncode != DONE, whole

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(attempt, range(len(todo))))
    for suffix, group in itertools.groupby(zip(todo, found, strict=True), key=lambda each: each[0][0]):
        results = [result for _, result in group]
        print(f"{suffix}: {len(results)} points, {sum(died for died, _ in results)} deaths")
    print(
        f"{what}, {kind}: {len(found)} points, {sum(died for died, _ in found)} deaths, output already there at "
        f"{sum(whole for _, whole in found)}; every resume gave the same bytes"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
