"""What Ray costs on one machine: the rate of `--engine ray` against the local one's, its start, and the memory of each process.

    python benchmarks/ray_overhead.py BUNDLE [ROWS [TURNS]]

The file is ROWS pairs (1,000,000 by default) and, for the memory, a tenth of them. The engines take turns. A rate is that of the rows
after the first chunk that is done, and the start is the time from the process's beginning to that chunk: of the local engine it is
Python's and the bundle's, of Ray its own processes', too. Memory is the peak of resident memory of the driver, and of the worker
with the most, as the kernel has noted it, looked at four times a second. What a receipt costs the driver is its processor's time between
the first and the last of many small chunks. Nothing else should be at work on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pairlift.inputs.rows import CHUNK_ROWS
from report import print_table, save
from scaling import write_pairs

LOOK_SECONDS = 0.25
TURNS = 3
BOUND = 0.8  # of the local rate
SMALL_CHUNK = 128  # rows, where the receipts are what is measured


def run_child(engine: str, bundle: str, source: str, output: str, chunk_rows: str) -> None:
    """Score a file in this process, and print when what was done, and the processor's time until then."""
    from pairlift import Scorer
    from pairlift.inputs.options import JobOptions
    from pairlift.jobs.job import score_file
    from pairlift.jobs.local import run_here
    from pairlift.jobs.progress import Step
    from pairlift.ray.engine import Cluster

    times: list[tuple[float, int, float]] = []

    def note(step: Step) -> None:
        times.append((time.time(), step.rows, time.process_time()))

    options = JobOptions(chunk_rows=int(chunk_rows))
    run = Cluster().run if engine == "ray" else run_here
    done = score_file(Scorer.open(bundle), source, output, options, progress=note, engine=run)
    assert done.manifest is not None
    print(json.dumps({"times": times, "sha256": done.manifest.output_sha256}))


def read_peaks(driver: int) -> dict[str, int]:
    """Return the peak memory in bytes of a process and of the Ray workers below it."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            if path.name.isdecimal():
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(path.name))
                names[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    peaks, below = {}, [driver]
    while below:
        pid = below.pop()
        below += children.get(pid, [])
        if pid == driver or names.get(pid, "").startswith("ray::RayWorker"):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
                peaks["driver" if pid == driver else f"worker {pid}"] = peak
    return peaks


def measure(engine: str, bundle: Path, source: Path, rows: int, chunk_rows: int = CHUNK_ROWS) -> dict[str, Any]:
    """Run one job as a process, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        paths = (str(bundle), str(source), f"{folder}/out.jsonl")
        command = [sys.executable, __file__, "--child", engine, *paths, str(chunk_rows)]
        started, peaks = time.time(), dict[str, int]()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            for name, peak in read_peaks(process.pid).items():
                peaks[name] = max(peak, peaks.get(name, 0))
            time.sleep(LOOK_SECONDS)
        ended = time.time()
    if process.returncode or process.stdout is None:
        raise SystemExit(f"{engine}: exit code {process.returncode}")
    said = json.loads(process.stdout.read().splitlines()[-1])
    first, last = said["times"][0], said["times"][-1]
    assert sum(count for _, count, _ in said["times"]) == rows
    return {
        "engine": engine,
        "rows": rows,
        "start_seconds": round(first[0] - started, 2),
        "rows_per_second": round((rows - first[1]) / max(1e-9, last[0] - first[0]), 1),
        "seconds": round(ended - started, 2),
        "driver_mb": round(peaks["driver"] / 1e6, 1),
        "worker_mb": round(max((peak for name, peak in peaks.items() if name != "driver"), default=0) / 1e6, 1),
        "workers": len(peaks) - 1,
        "driver_ms_per_chunk": round(1000 * (last[2] - first[2]) / max(1, len(said["times"]) - 1), 3),
        "sha256": said["sha256"],
    }


def main(bundle: str, rows: str = "1000000", turns: str = str(TURNS)) -> None:
    """Measure both sizes with both engines in turns, print and save."""
    os.environ.pop("RAY_ADDRESS", None)
    found, receipts = [], dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(rows) // 10, int(rows)):
            source = write_pairs(Path(folder), count)
            for _ in range(int(turns)):
                found += [measure(engine, Path(bundle), source, count) for engine in ("local", "ray")]
            if not receipts:
                receipts = measure("ray", Path(bundle), source, count, SMALL_CHUNK)
            source.unlink()
    results = []
    for engine, count in dict.fromkeys((run["engine"], run["rows"]) for run in found):
        runs = [run for run in found if (run["engine"], run["rows"]) == (engine, count)]
        figures = ("start_seconds", "rows_per_second", "seconds", "driver_mb", "worker_mb", "workers")
        middle = {name: statistics.median(run[name] for run in runs) for name in figures}
        results.append({"engine": engine, "rows": count, "turns": len(runs), **middle})
    assert len({(run["rows"], run["sha256"]) for run in found}) == 2, "the engines made different bytes"
    save("ray_overhead", {"runs": results, "receipts": receipts})
    print_table(
        ("rows", "engine", "rows/s after the start", "start s", "whole s", "driver MB", "worker MB", "workers"),
        [
            (f"{r['rows']:,}", r["engine"], f"{r['rows_per_second']:,.0f}", r["start_seconds"], r["seconds"], r["driver_mb"],
             r["worker_mb"], r["workers"])
            for r in results
        ],
    )  # fmt: skip
    rates = {(r["engine"], r["rows"]): r["rows_per_second"] for r in results}
    for count in dict.fromkeys(r["rows"] for r in results):
        share = rates["ray", count] / rates["local", count]
        print(f"{count:,} rows: Ray's rate is {share:.2f} of the local one, expected at least {BOUND}")
    print(f"{receipts['driver_ms_per_chunk']} ms of the driver's processor a receipt, in chunks of {SMALL_CHUNK} rows")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
