"""Play many schedules: `python -m simulation SCHEDULES [--first SEED] [--processes N] [--reverted]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pairlift.jobs.carry
import pairlift.jobs.sharing
import pairlift.storage.directory
from pairlift.outputs import existing, jobs, keeper, ledger, lock, output, receipts, strangers

from simulation.reverted import REVERTED, count_until_found
from simulation.schedule import Failure, play
from simulation.world import EVENTS

BATCH = 500
MOST_SHOWN = 3
MOST_UNTIL_FOUND = 20_000
TRACED = 1500  # schedules whose lines are noted: it takes five times as long
MODULES = (
    existing,
    jobs,
    keeper,
    receipts,
    ledger,
    lock,
    output,
    strangers,
    pairlift.jobs.carry,
    pairlift.storage.directory,
)
READS = {"read input", "stat input", "read", "digest", "version", "walk", "get object", "head object", "list objects"}
Pairs = Counter[tuple[str, str]]


def play_batch(first: int) -> tuple[list[Failure], Pairs]:
    """Play a batch of schedules."""
    seen: Pairs = Counter()
    failures = [failure for seed in range(first, first + BATCH) if (failure := play(seed, seen))]
    return failures, seen


def find_missed(seeds: range) -> dict[str, list[int]]:
    """Return the lines of the ledger's functions that no schedule runs, by file."""
    files = {str(module.__file__): set[int]() for module in MODULES}

    def note(frame: FrameType, event: str, argument: object) -> Any:
        lines = files.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)
        return note

    import greenlet

    sys.settrace(note)
    greenlet.settrace(lambda event, args: sys.settrace(note))  # each greenlet has a trace of its own
    try:
        for seed in seeds:
            play(seed, Counter())
    finally:
        sys.settrace(None)
        greenlet.settrace(None)
    return {Path(name).name: sorted(find_lines(name) - lines) for name, lines in files.items()}


def find_lines(name: str) -> set[int]:
    """Return the lines of a module's functions."""
    found = set[int]()
    codes = [compile(Path(name).read_text(), name, "exec")]
    depth = {id(codes[0]): 0}
    while codes:
        code = codes.pop()
        inner = [constant for constant in code.co_consts if hasattr(constant, "co_code")]
        codes += inner
        for each in inner:
            depth[id(each)] = depth[id(code)] + 1
        if depth[id(code)] and code.co_name.isidentifier() and not code.co_qualname.rpartition(".")[2][0].isupper():
            found |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return found


def report(seen: Pairs, played: int, seconds: float) -> bool:
    """Print what happened where; return whether each pair of an operation and an event came up."""
    operations = sorted({operation for operation, _ in seen})
    print(f"{played} schedules in {seconds:.0f} s; how often what happened where:")
    print(f"{'':16}" + "".join(f"{event:>15}" for event in EVENTS))
    missing = []
    for operation in operations:
        counts = [seen[operation, event] for event in EVENTS]
        print(f"{operation:16}" + "".join(f"{count:15}" for count in counts))
        never = {"answer lost", "killed after"} if operation in READS else set()
        never |= set(EVENTS) - {"suspended"} if operation == "wait" else set()
        missing += [(operation, e) for e, count in zip(EVENTS, counts, strict=True) if not count and e not in never]
    if missing:
        print("never:", ", ".join(f"{event} at {operation}" for operation, event in missing))
    return not missing


def main() -> int:
    """Play schedules and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schedules", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--reverted", action="store_true", help="put faults back and see that each is found")
    parser.add_argument("--lines", action="store_true", help="say which lines of the ledger no schedule runs")
    asked = parser.parse_args()
    begun, seen, failures, played = time.monotonic(), Pairs(), list[Failure](), 0
    with multiprocessing.Pool(asked.processes) as pool:
        firsts = range(asked.first, asked.first + asked.schedules, BATCH)
        for found, pairs in pool.imap_unordered(play_batch, firsts):
            seen.update(pairs)
            played += BATCH
            for failure in found[: max(0, MOST_SHOWN - len(failures))]:
                print(failure, flush=True)
            failures += found
    complete = report(seen, played, time.monotonic() - begun)
    print(f"{played} schedules, {len(failures)} violations")
    if asked.lines:
        for name, missed in find_missed(range(asked.first, asked.first + TRACED)).items():
            print(f"{name}: lines that no schedule of {TRACED} runs: {', '.join(map(str, missed)) or 'none'}")
    lost = []
    for fault in REVERTED if asked.reverted else ():
        result = count_until_found(fault, MOST_UNTIL_FOUND)
        print(f"{fault}: " + (f"found by schedule {result[0]} ({result[1]})" if result else "NOT FOUND"), flush=True)
        lost += [] if result else [fault]
    return 0 if complete and not failures and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
