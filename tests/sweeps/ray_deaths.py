"""Kill the workers and the driver of a Ray job at random, and resume it.

    python tests/sweeps/ray_deaths.py [ROUNDS]

Each round is a job from a random format to a random format or place, by `pairlift score --engine ray` on a Ray that all rounds share.
While it runs, a worker is killed (SIGKILL) after a random time, again and again, and in two rounds of three the driver, once; then
the same command is run until it ends by itself. The output, its rejects and the rows of its manifest must be those of the local
engine, and nothing else may be left. The first thing that is otherwise ends the sweep.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import ray
from pairlift import Scorer

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "ray"))
from conftest import SMALL_BUNDLE, score_small
from test_conformance import CHUNK, MARK, digests, write_pairs

ROWS = 4000  # 250 chunks
SUFFIXES = (".csv", ".jsonl", ".jsonl.gz", ".tsv.zst", ".parquet")
LONGEST = 4.0  # seconds between two deaths
ROUND_SECONDS = 300.0


def find_workers(session: str) -> list[int]:
    """Return the processes of a Ray that score."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            # A worker's title stands where its environment was; its log is in its session's folder.
            ours = path.name.isdecimal() and session in str((path / "fd/1").readlink())
            if ours and (path / "cmdline").read_bytes().startswith(b"ray::RayWorker"):
                found.append(int(path.name))
    return found


def kill_at_random(process: subprocess.Popen[bytes], session: str, chance: random.Random, driver: bool) -> Counter[str]:
    """Kill workers, at most as many times as a chunk is tried again, and perhaps the driver, until the command ends."""
    counts: Counter[str] = Counter()
    until = time.monotonic() + ROUND_SECONDS
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.1, LONGEST))
            break
        workers = find_workers(session)
        if workers and counts["workers"] < 3:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                counts["workers"] += 1
        elif driver and workers:
            process.kill()
            counts["drivers"] += 1
        assert time.monotonic() < until, "the job hangs"
    return counts


def read_parts(output: Path) -> dict[str, bytes]:
    """Return what lies in a directory of parts, one after the other, and its rejects."""
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    parts = [name for name in names if name.startswith("part-")]
    others = [name for name in names if name not in parts]
    assert [MARK.sub("", name) for name in others] == ["_pairlift/manifest.json", "_pairlift/rejects.jsonl"], names
    assert len({mark for name in names for mark in MARK.findall(name)}) == 1, names
    joined = b"".join((output / name).read_bytes() for name in parts)
    return {"parts": joined, "rejects": (output / others[1]).read_bytes()}


def run_round(
    folder: Path, session: str, chance: random.Random, number: int, environment: dict[str, str]
) -> Counter[str]:
    """Run a job through its deaths to its end, and hold it to what the local engine makes."""
    source = write_pairs(folder / f"in{chance.choice(SUFFIXES)}", ROWS)
    whole = chance.random() < 0.3  # a directory of parts
    suffix = ".jsonl" if whole else chance.choice(SUFFIXES)
    output, calm = folder / ("parts.jsonl" if whole else f"out{suffix}"), folder / "calm" / f"out{suffix}"
    calm.parent.mkdir()
    scorer = Scorer.open(SMALL_BUNDLE)
    score_small(scorer, source, calm)
    scorer.close()
    options = ["--engine", "ray", "--workers", "2", "--quiet"]
    command = [
        sys.executable,
        "-m",
        "pairlift",
        "score",
        "--chunk-rows",
        str(CHUNK),
        str(SMALL_BUNDLE),
        str(source),
        f"{output}{'/' * whole}",
        *options,
    ]
    counts: Counter[str] = Counter(rounds=1)
    code = None
    for attempt in range(20):
        process = subprocess.Popen(command, env=environment)
        counts += kill_at_random(process, session, chance, driver=number % 3 > 0 and attempt == 0)
        code = process.wait()
        if code == 1:
            break
        assert code == -signal.SIGKILL, f"round {number}: exit code {code}"
        assert not output.is_file() or output.read_bytes() == calm.read_bytes(), f"round {number}: a partial output"
        counts["resumed"] += 1
    assert code == 1, f"round {number}: exit code {code}"
    if whole:
        rejects = calm.with_name(f"{calm.name}.rejects.jsonl").read_bytes()
        assert read_parts(output) == {"parts": calm.read_bytes(), "rejects": rejects}, f"round {number}"
        counts["directories"] += 1
    else:
        assert digests(output) == digests(calm), f"round {number}: {json.dumps([digests(output), digests(calm)])}"
    return counts


def main(rounds: str = "30") -> None:
    """Run the rounds, and count."""
    chance, counts = random.Random(0), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary:
        os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        started = ray.init(
            num_cpus=3, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False, logging_level="ERROR",
            _temp_dir=f"{temporary}/ray",
        )  # fmt: skip
        environment = {**os.environ, "RAY_ADDRESS": started.address_info["gcs_address"]}
        for number in range(int(rounds)):
            with tempfile.TemporaryDirectory() as folder:
                counts += run_round(Path(folder), temporary, chance, number, environment)
            print(f"{number + 1}: {dict(counts)}", file=sys.stderr, flush=True)
        ray.shutdown()
    print(
        "ray deaths: "
        + ", ".join(f"{name} {count}" for name, count in counts.items())
        + "; every output whole and the same"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
