"""How the runner scales: with the file, with the length of rows, with threads, and towards what the machine can multiply.

python benchmarks/scaling.py
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from models import BASE, DATA, ROOT, TINY, make_models
from onnx import helper, numpy_helper
from pairlift.encoding.packing import Batch
from pairlift.model.scorer import Scorer
from pairlift.model.session import open_session
from pairlift.model.windows import BATCH_TOKENS
from report import print_table, save

FILES = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
ROUNDS = 5


def main() -> None:
    """Run the four parts, print and save."""
    tiny = make_models(ROOT / "out/benchmarks/tiny", *TINY)
    base = make_models(ROOT / "out/benchmarks/base", *BASE)
    results = {
        "files": measure_files(tiny / "bundle"),
        "threads": measure_threads(tiny / "bundle"),
        "lengths": {"tiny": measure_lengths(tiny, *TINY), "base": measure_lengths(base, *BASE)},
    }
    save("scaling", results)
    print_table(
        ("rows in the file", "variant", "rows/s", "peak MB"),
        [
            (f"{r['rows']:,}", r["variant"], f"{r['rows_per_second']:,.0f}", f"{r['peak_mb']:.0f}")
            for r in results["files"]
        ],
    )
    print()
    print_table(
        ("threads", "variant", "rows/s"),
        [(r["threads"], r["variant"], f"{r['rows_per_second']:,.0f}") for r in results["threads"]],
    )
    for size, found in results["lengths"].items():
        print()
        print_table(
            (f"{size}: tokens of a row", "graph", "rows/s", "tf2onnx is 1", "GFLOP/s", "of the matrix rate"),
            [
                (
                    r["length"],
                    r["variant"],
                    f"{r['rows_per_second']:,.1f}",
                    f"{r['times_tf2onnx']} x",
                    f"{r['gflops']:.0f}",
                    f"{r['share']:.0%}",
                )
                for r in found
            ],
        )


def write_pairs(folder: Path, rows: int) -> Path:
    """Write a file of so many rows of SNLI, shuffled once and then repeated."""
    lines = [line for name in ("validation", "train") for line in (DATA / f"snli/{name}.jsonl").open("rb")]
    random.Random(0).shuffle(lines)
    path = folder / f"{rows}.jsonl"
    with path.open("wb") as file:
        file.writelines(itertools.islice(itertools.cycle(lines), rows))
    return path


def run_score(bundle: Path, source: Path, variant: str, threads: int | None = None) -> tuple[float, float]:
    """Run `pairlift score` as a process, and return its seconds and its peak memory in MB."""
    output = source.with_suffix(".out.jsonl")
    output.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pairlift",
        "score",
        str(bundle),
        str(source),
        str(output),
        "--variant",
        variant,
        "--quiet",
    ]
    if threads:
        command += ["--threads", str(threads)]
    started = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1000


def measure_files(bundle: Path) -> list[dict[str, Any]]:
    """Whole processes against the size of the file."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in FILES:
            source = write_pairs(Path(folder), rows)
            for variant in ("fp32", "int8"):
                seconds, peak = run_score(bundle, source, variant)
                found.append(
                    {
                        "rows": rows,
                        "variant": variant,
                        "rows_per_second": round(rows / seconds, 1),
                        "peak_mb": round(peak, 1),
                    }
                )
            source.unlink()
    return found


def measure_threads(bundle: Path) -> list[dict[str, Any]]:
    """Whole processes against `--threads`, in turns."""
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = write_pairs(Path(folder), 30_000)
        for _, variant, threads in itertools.product(range(3), ("fp32", "int8"), (1, 2)):
            found.setdefault((variant, threads), []).append(run_score(bundle, source, variant, threads)[0])
    return [
        {"variant": variant, "threads": threads, "rows_per_second": round(30_000 / statistics.median(times), 1)}
        for (variant, threads), times in found.items()
    ]


def measure_lengths(folder: Path, layers: int, width: int, heads: int) -> list[dict[str, Any]]:
    """Full rows of one length through the runner's session, as many batches at once as there are cores, against matrices."""
    scorers = {variant: Scorer.open(folder / "bundle", variant) for variant in ("fp32", "int8")}
    scorers["tf2onnx"] = Scorer.open(folder / "tf2onnx")
    matrices = {"fp32": multiply_floats(), "int8": multiply_integers()}
    found = []
    for length in LENGTHS:
        batch = full_rows(max(1, BATCH_TOKENS // length), length)
        tokens = batch.token_ids.size
        rows = len(batch.token_ids)
        work = (
            2 * tokens * (layers - 1) * (12 * width * width + 2 * length * width)
        )  # the last layer is next to nothing
        work += 2 * rows * (width * width * 12 + 2 * length * width * heads)
        runs = {variant: lambda s=scorer, b=batch: s.run(b) for variant, scorer in scorers.items()}
        times = in_turns({**runs, **{f"{v} matrix": m for v, (m, _) in matrices.items()}})
        for variant in scorers:
            rate = work / times[variant] / 1e9
            kind = "fp32" if variant == "tf2onnx" else variant
            ceiling = matrices[kind][1] / times[f"{kind} matrix"] / 1e9
            found.append({
                "length": length, "variant": variant, "rows_per_second": round(rows / times[variant], 1), "gflops": round(rate, 1),
                "matrix_gflops": round(ceiling, 1), "share": round(rate / ceiling, 3), "times_tf2onnx": round(times["tf2onnx"] / times[variant], 2),
            })  # fmt: skip
    return found


def in_turns(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of a run when all cores do the same: each is run on every core at once, in turns."""
    cores = len(os.sched_getaffinity(0))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with ThreadPoolExecutor(cores) as pool:
        for round_ in range(ROUNDS + 1):
            for name, run in runs.items():
                repeats = 4
                started = time.perf_counter()
                list(pool.map(lambda _, run=run: run(), range(cores * repeats)))
                if round_:
                    seconds[name].append((time.perf_counter() - started) / (cores * repeats))
    return {name: statistics.median(times) for name, times in seconds.items()}


def full_rows(rows: int, length: int) -> Batch:
    """Return rows without padding."""
    ids = np.random.default_rng(0).integers(1000, 30000, (rows, length)).astype(np.int32)
    return Batch(token_ids=ids, padding_mask=np.ones_like(ids), segment_ids=np.zeros_like(ids))


ROWS, INNER, OUTER = 512, 768, 3072  # of the matrices: a base model's feed-forward layer, 512 tokens
WORK = 2 * ROWS * INNER * OUTER


def multiply_floats() -> tuple[Callable[[], object], int]:
    """Return a product of float32 matrices by onnxruntime, and its operations."""
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(INNER, OUTER)).astype(np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x = np.random.default_rng(1).normal(size=(ROWS, INNER)).astype(np.float32)
    return _product([node], [weight], onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT, x), WORK


def multiply_integers() -> tuple[Callable[[], object], int]:
    """Return a product of uint8 and int8 matrices by onnxruntime, and its operations."""
    random_ = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random_.integers(-127, 127, (INNER, OUTER)).astype(np.int8), "w"),
        numpy_helper.from_array(np.array(128, np.uint8), "z"),
        numpy_helper.from_array(np.zeros(OUTER, np.int8), "wz"),
    ]
    node = helper.make_node("MatMulInteger", ["x", "w", "z", "wz"], ["y"])
    x = random_.integers(0, 255, (ROWS, INNER)).astype(np.uint8)
    return _product([node], weights, onnx.TensorProto.UINT8, onnx.TensorProto.INT32, x), WORK


def _product(nodes: list[Any], weights: list[Any], kind_in: int, kind_out: int, x: Any) -> Callable[[], object]:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "product", [value("x", kind_in, [ROWS, INNER])], [value("y", kind_out, [ROWS, OUTER])], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session = open_session(model.SerializeToString(), "a product")
    return lambda: session.run(["y"], {"x": x})


if __name__ == "__main__":
    main()
