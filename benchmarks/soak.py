"""Kill and resume jobs at random for as long as you like, and count.

    python benchmarks/soak.py [MINUTES] [BUNDLE]

Each job is `pairlift score` as a process, from a random format to a random format. It is killed (SIGKILL, SIGTERM or SIGINT) after a
random time, again and again, until it gets to its end by itself. Its output, its rejects and the lasting part of its manifest must
then be the bytes of a job that nobody disturbed, nothing else may be left, and the output must never have been there in part. The
first thing that is otherwise ends the run with what it was.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

ROOT = Path(__file__).resolve().parent.parent
ROWS = 30_000
FORMATS = (".jsonl", ".csv", ".jsonl.gz", ".csv.zst", ".parquet")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A signal that comes before Python has begun with pairlift ends the process by itself, which a shell shows as the same number.
RESUMABLE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT)


def write_inputs(folder: Path) -> dict[str, Path]:
    """Write the same rows in every format, every 997th of them broken, and return the files."""
    rows = [(str(i), f"the man {i % 5000} runs", None if i % 997 == 5 else "a dog " * (i % 9)) for i in range(ROWS)]
    names = ("id", "premise", "hypothesis")
    lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()
    table = "".join(",".join(field for field in row if field is not None) + "\n" for row in (names, *rows)).encode()
    contents = {".jsonl": lines, ".csv": table, ".jsonl.gz": gzip.compress(lines), ".csv.zst": zstd.compress(table)}
    inputs = {suffix: folder / f"in{suffix}" for suffix in FORMATS}
    for suffix, data in contents.items():
        inputs[suffix].write_bytes(data)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), inputs[".parquet"])
    return inputs


def command(bundle: Path) -> list[str]:
    """Return the command of a job, without its input and output."""
    return [sys.executable, "-m", "pairlift", "score", str(bundle)]


def digest(output: Path) -> dict[str, str]:
    """Return the digest of each file beside an output; of its manifest, what does not change from run to run."""
    found = {}
    for path in sorted(output.parent.iterdir()):
        data = path.read_bytes() if path.is_file() else b"a directory"
        if path.name.endswith(".manifest.json"):
            data = json.dumps({k: v for k, v in json.loads(data).items() if k not in ("last_run", "mark")}).encode()
        found[path.name] = hashlib.sha256(data).hexdigest()
    return found


def torment(job: list[str], output: Path, expected: dict[str, str], seconds: float, counts: Counter[str]) -> None:
    """Run a job to its end through random deaths."""
    chance = random.Random()
    while True:
        process = subprocess.Popen(job, stderr=subprocess.PIPE, text=True)
        patience = chance.uniform(0, 1.3 * seconds)
        try:
            _, said = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            number = chance.choice(SIGNALS)
            process.send_signal(number)
            _, said = process.communicate()
            counts[f"sent {number.name}"] += 1
        counts["runs"] += 1
        counts["runs that resumed"] += "rows were done by an earlier run" in said
        if output.exists():
            assert hashlib.sha256(output.read_bytes()).hexdigest() == expected[output.name], "a partial output"
        if process.returncode == 1 and said.endswith("\nKeyboardInterrupt\n") and not output.exists():
            counts["deaths before Python had begun"] += 1
            continue
        if process.returncode in (0, 1):
            assert output.exists(), f"exit {process.returncode} without an output: {said}"
            break
        assert process.returncode in RESUMABLE, f"exit {process.returncode}: {said}"
        counts["deaths"] += 1
    last = subprocess.run(
        job, capture_output=True, text=True, check=False
    )  # it removes what a death in the clean-up left
    assert "(by an earlier run; nothing to do)" in last.stderr, last.stderr
    assert digest(output) == expected, f"{digest(output)}, expected {expected}"
    counts["jobs"] += 1


def main(minutes: str = "60", bundle: str = str(ROOT / "tests/data/bundle")) -> None:
    """Soak, and print the counts."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + 60 * float(minutes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        inputs = write_inputs(folder)
        calm: dict[tuple[str, str], tuple[dict[str, str], float]] = {}
        while time.monotonic() < end:
            kind_in, kind_out = random.choice(FORMATS), random.choice(FORMATS)
            output = folder / "job" / f"out{kind_out}"
            job = [*command(Path(bundle)), str(inputs[kind_in]), str(output)]
            if (kind_in, kind_out) not in calm:
                output.parent.mkdir()
                started = time.monotonic()
                subprocess.run(job, capture_output=True, check=False)
                calm[kind_in, kind_out] = (digest(output), time.monotonic() - started)
                assert len(calm[kind_in, kind_out][0]) == 3, calm
                shutil.rmtree(output.parent)
            output.parent.mkdir()
            torment(job, output, *calm[kind_in, kind_out], counts)
            shutil.rmtree(output.parent)
            if counts["jobs"] % 10 == 0:
                print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())), flush=True)
    print(f"{float(minutes):.0f} minutes, {len(calm)} pairs of formats: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))  # fmt: skip
    print("every output was the bytes of an undisturbed job, and never there in part")


if __name__ == "__main__":
    main(*sys.argv[1:])
