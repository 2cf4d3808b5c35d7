"""What every benchmark leaves: a table in the terminal, and a JSON file from which benchmarks/draw.py draws a chart."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "docs/benchmarks"


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    from pairlift.version import read_versions

    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    versions = read_versions(("onnxruntime", "tokenizers", "numpy", "keras-hub", "tensorflow"))
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": versions,
    }


def save(name: str, results: dict[str, Any]) -> None:
    """Write docs/benchmarks/NAME.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    data = {"machine": describe_machine(), **results}
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, the first column to the left."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))))
