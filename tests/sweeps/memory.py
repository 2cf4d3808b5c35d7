"""The peak memory of a job against the size of its file, and against what a hostile file holds.

    python tests/sweeps/memory.py [ROWS]

Scores ROWS rows and ten times as many with the small bundle, format by format: the peak of the process may grow by 5 %. A line of
500 MB and a decompression bomb of 1000:1 must stay within the peak of the ten times and a tenth, and a file of 300 MB in rows of
1 MB each within that and 100 MB.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from backports import zstd

BUNDLE = Path(__file__).parent.parent / "data/bundle"
WORDS = ("the", "dog", "cat", "man", "runs", "red", "house", "boy", "is", "blue")
GROWTH = 1.05
HOSTILE = 1.10  # times the peak of a long file of short rows
LONG_ROWS = 100  # MB above that: a few rows of 1 MB, and the tokens of one


def make_rows(rows: int) -> Iterator[dict[str, object]]:
    """Yield rows of some thirty tokens."""
    for i in range(rows):
        words = [WORDS[(i * 7 + j * (i % 11 + 1)) % len(WORDS)] for j in range(28)]
        yield {"id": i, "premise": " ".join(words[:18]), "hypothesis": " ".join(words[18:])}


def write_rows(path: Path, rows: int) -> None:
    """Write an input of so many rows."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("id", pa.int64()), ("premise", pa.string()), ("hypothesis", pa.string())])
        with pq.ParquetWriter(path, schema) as writer:
            writer.write_table(pa.Table.from_pylist(list(make_rows(rows)), schema))
    elif path.suffix == ".csv":
        with path.open("w") as file:
            file.write("id,premise,hypothesis\n")
            file.writelines(f"{r['id']},{r['premise']},{r['hypothesis']}\n" for r in make_rows(rows))
    else:
        with zstd.open(path, "wt") if path.suffix == ".zst" else path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in make_rows(rows))


def measure(source: Path, output: Path, code: int = 0) -> float:
    """Score a file in a process of its own, and return its peak in MB."""
    command = [sys.executable, "-m", "pairlift", "score", str(BUNDLE), str(source), str(output), "--quiet"]
    process = subprocess.Popen(command)
    status, peak = Path(f"/proc/{process.pid}/status"), 0.0
    while process.poll() is None:  # not by wait4, whose figure begins with the memory of this process
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        peak = int(found[0].split()[1]) / 1000 if found else peak
        time.sleep(0.005)
    assert process.returncode == code, f"{source.name}: exit {process.returncode}, expected {code}"
    return peak


def write_hostile(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield hostile inputs, and the exit code that each must have."""
    good = b'{"premise": "a dog", "hypothesis": "a cat"}\n'
    path = folder / "line.jsonl"
    with path.open("wb") as file:
        file.write(good + b'{"premise": "')
        for _ in range(500):
            file.write(b"x" * 1_000_000)
        file.write(b'", "hypothesis": "a"}\n' + good)
    yield path, 1
    for suffix, opened in ((".gz", gzip.open), (".zst", zstd.open)):
        path = folder / f"bomb.jsonl{suffix}"
        with opened(path, "wb") as bomb:
            bomb.write(good)
            for _ in range(1000):
                bomb.write(b" " * (1 << 20))
            bomb.write(b"\n" + good)
        assert path.stat().st_size * 1000 <= 1.05 * (1000 << 20), path.stat().st_size
        yield path, 1
    path = folder / "long.csv"
    with path.open("wb") as file:
        file.write(b"premise,hypothesis\n")
        for i in range(300):
            file.write(b"%d " % i + b"dog " * 250_000 + b",a cat\n")
    yield path, 0


def main(rows: str = "50000") -> None:
    """Measure, print a table, and hold the figures to their bounds."""
    few, many = int(rows), 10 * int(rows)
    highest = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind_in, kind_out in (
            (".jsonl", ".jsonl"),
            (".csv", ".csv"),
            (".jsonl.zst", ".csv.gz"),
            (".parquet", ".parquet"),
        ):
            peaks = []
            for count in (few, many):
                source, output = folder / f"{count}{kind_in}", folder / f"out{count}{kind_out}"
                write_rows(source, count)
                peaks.append(measure(source, output))
                source.unlink()
                output.unlink()
            print(f"{kind_in} to {kind_out}: {few} rows {peaks[0]:.0f} MB, {many} rows {peaks[1]:.0f} MB, {peaks[1] / peaks[0]:.3f} times", flush=True)  # fmt: skip
            assert peaks[1] <= GROWTH * peaks[0], f"{kind_in}: expected at most {GROWTH} times"
            highest = max(highest, peaks[1] if kind_in != ".parquet" else 0)
        for source, code in write_hostile(folder):
            peak = measure(source, folder / f"{source.name}.out.jsonl", code)
            print(f"{source.name}, {source.stat().st_size} bytes: {peak:.0f} MB", flush=True)
            most = HOSTILE * highest + (LONG_ROWS if source.suffix == ".csv" else 0)
            assert peak <= most, f"{source.name}: expected at most {most:.0f} MB"
            source.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
