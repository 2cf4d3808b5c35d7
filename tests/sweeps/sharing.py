"""Have eight processes share a job, kill them at random, and start each again until it says that the job is done.

    python tests/sweeps/sharing.py [DEATHS]

Half of the deaths in a directory, half in a bucket (moto's server). The parts one after the other must be the bytes of the local
engine, every process must end with 0, and nothing of the job may be left. The first thing that is otherwise ends the sweep.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parent.parent))
from bucket import CREDENTIALS
from conftest import SMALL_BUNDLE

TASKS = 8
ROWS = 20_000
CHUNK_ROWS = 64
MOST_SECONDS = 600
SCRIPT = (
    "import sys; from pairlift import Scorer; from pairlift.jobs.job import score_file; from pairlift.inputs.options import JobOptions; "
    "from pairlift.jobs.sharing import Share; "
    f"score_file(Scorer.open({str(SMALL_BUNDLE)!r}, threads=1), sys.argv[1], sys.argv[2], JobOptions(chunk_rows={CHUNK_ROWS}), "
    "engine=Share(int(sys.argv[3]), int(sys.argv[4])).run)"
)


def start(source: Path, output: str, index: int, count: int) -> subprocess.Popen[bytes]:
    """Start a process of a job."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(source), output, str(index), str(count)],
        stderr=subprocess.PIPE, env={**os.environ, **CREDENTIALS},
    )  # fmt: skip


def run_round(source: Path, output: str, chance: random.Random, most: int) -> int:
    """Run a job in which processes die, and return how many did."""
    running = {index: start(source, output, index, TASKS) for index in range(TASKS)}
    deaths, until = 0, time.monotonic() + MOST_SECONDS
    while running:
        time.sleep(chance.uniform(0.05, 0.8))
        if time.monotonic() > until:
            raise SystemExit("a round takes too long")
        for index, process in list(running.items()):
            if process.poll() is None:
                continue
            if process.returncode not in (0, -9):
                raise SystemExit(f"task {index} ended with {process.returncode}: {process.stderr.read().decode()}")
            if process.returncode == 0:
                del running[index]
            else:
                running[index] = start(source, output, index, TASKS)
        living = [process for process in running.values() if process.poll() is None]
        if living and deaths < most:
            chance.choice(living).kill()
            deaths += 1
    return deaths


def check(names: list[str], read: Callable[[str], bytes], whole: bytes) -> None:
    """Hold what a round has left to what it should."""
    parts = [name for name in names if name.startswith("part-")]
    if b"".join(map(read, parts)) != whole:
        raise SystemExit("the parts are not the bytes of the local engine")
    others = [name for name in names if name not in parts and "/rejects-" not in name]
    if others != ["_pairlift/manifest.json"]:
        raise SystemExit(f"left: {others}")


def main() -> None:
    """Run rounds until enough processes have died."""
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    chance, deaths, rounds = random.Random(int(os.environ.get("SEED", "1"))), {"directory": 0, "bucket": 0}, 0
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}"}
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.jsonl"
            rows = (json.dumps({"id": i, "premise": f"the dog {i}", "hypothesis": "a cat"}) for i in range(ROWS))
            source.write_text("\n".join("{broken" if i % 97 == 5 else row for i, row in enumerate(rows)))
            subprocess.run([sys.executable, "-c", SCRIPT, str(source), f"{folder}/whole.jsonl", "0", "1"], check=True)
            whole = Path(f"{folder}/whole.jsonl").read_bytes()
            while sum(deaths.values()) < asked:
                most = min(25, asked - sum(deaths.values()))
                if rounds % 2 == 0:
                    root = Path(folder) / f"out{rounds}"
                    deaths["directory"] += run_round(source, f"{root}/", chance, most)
                    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
                    check(names, lambda name, root=root: (root / name).read_bytes(), whole)  # type: ignore[misc]
                else:
                    prefix = f"out{rounds}/"
                    deaths["bucket"] += run_round(source, f"s3://bucket/{prefix}", chance, most)
                    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
                    names = sorted(o["Key"].removeprefix(prefix) for page in pages for o in page["Contents"])
                    check(
                        names,
                        lambda name, p=prefix: client.get_object(Bucket="bucket", Key=p + name)["Body"].read(),
                        whole,
                    )  # type: ignore[misc]
                rounds += 1
                print({"rounds": rounds, **deaths}, flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
