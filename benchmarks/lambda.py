"""The function on this machine: from start to ready beside the bare imports, warm times through the Runtime API, and memory.

    PYTHONPATH=tests python benchmarks/lambda.py BUNDLE [variant]

Builds the zip of a bundle, unpacks it, and runs it under a Python that Lambda has with Lambda's own runtime client, against a Runtime
API on this machine. The bare imports are `import numpy, onnxruntime, tokenizers` out of the same tree. Starts are taken in turns;
the first of each fills the page cache and is not counted. "Through the Runtime API" is from the event's hand-over to the answer's,
with JSON both ways and no network but the loopback; "inside the handler" is what the function's own log says. Pairs are SNLI's,
of PAIRLIFT_DATA or ../shared/data, and others each time.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambda_function import PYTHON, ROOT, Code, build_code
from lambda_runtime import LambdaRuntime
from report import print_table, save

DATA = Path(os.environ.get("PAIRLIFT_DATA", ROOT.parent / "shared/data")) / "snli/validation.jsonl"
STARTS = 21
SIZES = {1: 1000, 16: 500, 256: 200}  # pairs of an event: how many events
WARM_UP = 20
BARE = "import numpy, onnxruntime, tokenizers"


def read_pairs() -> Iterator[list[str]]:
    """Yield real pairs, again from the first when they are at an end."""
    if not DATA.is_file():
        sys.exit(f"{DATA}: no such file; set PAIRLIFT_DATA to a folder that holds snli/validation.jsonl")
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return itertools.cycle([[row["hypothesis"], row["premise"]] for row in rows])


def find_path(code: Code) -> str:
    """Return PYTHONPATH of a function."""
    return f"{code.task}{os.pathsep}{code.runtime}"


def start_bare(code: Code) -> float:
    """Return the seconds that a process takes to import what the function imports, and end."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": find_path(code),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    started = time.monotonic()
    subprocess.run([code.python, "-c", BARE], env=environment, cwd=code.task, check=True)
    return time.monotonic() - started


def start_container(code: Code, variant: str) -> LambdaRuntime:
    """Return a container with the memory of one processor, to be entered."""
    environment = {"HOME": "/nonexistent", "PAIRLIFT_VARIANT": variant}
    return LambdaRuntime(find_path(code), environment, code.task, python=code.python)


def start_function(code: Code, variant: str) -> tuple[float, float]:
    """Return the seconds from the start of a container's process until it asks for an event, and those of its own init."""
    with start_container(code, variant) as container:
        ready = container.wait_until_ready()
        assert not container.invoke({"pairs": []}).failed
        (entry,) = container.read_entries()
    return ready, entry["milliseconds"]["init"] / 1000


def measure_starts(code: Code, variant: str) -> dict[str, Any]:
    """Return the times of both kinds of start, taken in turns."""
    bare: list[float] = []
    ready: list[float] = []
    init: list[float] = []
    for _ in range(STARTS + 1):
        bare.append(start_bare(code))
        both = start_function(code, variant)
        ready.append(both[0])
        init.append(both[1])
    ratios = [a / b for a, b in zip(ready[1:], bare[1:], strict=True)]
    return {
        "rounds": STARTS,
        "bare_imports_ms": summarize(bare[1:]),
        "ready_ms": summarize(ready[1:]),
        "init_ms": summarize(init[1:]),
        "ratio_of_medians": round(statistics.median(ready[1:]) / statistics.median(bare[1:]), 2),
        "median_ratio": round(statistics.median(ratios), 2),
        "ratios": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def summarize(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, the smallest that 99 of 100 do not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50": round(1000 * statistics.median(ordered), 2),
        "p99": round(1000 * ordered[math.ceil(0.99 * len(ordered)) - 1], 2),
        "max": round(1000 * ordered[-1], 2),
    }


def measure_warm(code: Code, variant: str, pairs: Iterator[list[str]]) -> dict[str, Any]:
    """Return the times of warm invocations, and the container's peak memory."""
    results: dict[str, Any] = {}
    with start_container(code, variant) as container:
        for size, events in SIZES.items():
            outside = []
            for number in range(WARM_UP + events):
                event = json.dumps({"pairs": list(itertools.islice(pairs, size))}).encode()
                started = time.monotonic()
                answer = container.invoke(event)
                if number >= WARM_UP:
                    outside.append(time.monotonic() - started)
                assert not answer.failed, answer.payload
            inside = [entry["milliseconds"]["total"] / 1000 for entry in container.read_entries()[-events:]]
            results[str(size)] = {
                "events": events,
                "runtime_api_ms": summarize(outside),
                "handler_ms": summarize(inside),
                "pairs_per_second": round(size / statistics.median(inside)),
                "peak_memory_mb": container.read_entries()[-1]["peak_memory_mb"],
            }
    return results


def main(bundle: str, variant: str = "fp32") -> None:
    """Build, measure, print and save."""
    if PYTHON is None:
        sys.exit("needs Python 3.12 or 3.13, which a zip is for")
    pairs = read_pairs()
    with tempfile.TemporaryDirectory() as folder:
        code = build_code(Path(folder), Path(bundle), PYTHON, variant)
        starts = measure_starts(code, variant)
        warm = measure_warm(code, variant, pairs)
    version = subprocess.run([PYTHON, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    name = "lambda" if variant == "fp32" else f"lambda_{variant}"
    save(name, {"variant": variant, "python": version, "starts": starts, "warm": warm})
    rows = [
        (f"start to ready ({what})", *(found[p] for p in ("p50", "p99", "max")))
        for what, found in (("bare imports", starts["bare_imports_ms"]), ("function", starts["ready_ms"]))
    ]
    print_table((f"Python {version}, {variant}, ms", "p50", "p99", "max"), rows)
    print(
        f"function / bare imports: {starts['median_ratio']} (median of {STARTS} ratios, {starts['ratios'][0]} to "
        f"{starts['ratios'][1]})\n"
    )
    head = ("pairs", "events", "API p50", "API p99", "handler p50", "handler p99", "pairs/s", "peak MB")
    print_table(
        head,
        [
            (
                size,
                found["events"],
                found["runtime_api_ms"]["p50"],
                found["runtime_api_ms"]["p99"],
                found["handler_ms"]["p50"],
                found["handler_ms"]["p99"],
                found["pairs_per_second"],
                found["peak_memory_mb"],
            )
            for size, found in warm.items()
        ],
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: PYTHONPATH=tests python benchmarks/lambda.py BUNDLE [variant]")
    main(*sys.argv[1:])
