"""One set of tests for every engine: the local one, Ray, and the Lambda function give the same bytes, whatever happens to them."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from bucket import Bucket, serve_moto, serve_proxy
from conftest import ROOT, SMALL_BUNDLE, SMALL_CHUNKS, score_small
from pairlift import Scorer
from pairlift.aws.function import Function
from pairlift.aws.settings import Settings
from pairlift.errors import BundleError, DestinationError, InputError, RejectsError, StorageError, UsageError
from pairlift.inputs import names as inputs
from pairlift.inputs.names import find_inputs
from pairlift.inputs.options import JobOptions
from pairlift.inputs.rejects import parse_most_rejects
from pairlift.ray import pool as ray_pool
from pairlift.ray.dataset import DatasetScorer
from pairlift.ray.engine import Cluster
from pairlift.storage.open import open_input
from pairlift.storage.stamp import Stamp, read_stamp

ray = pytest.importorskip("ray")

CHUNK = SMALL_CHUNKS
LOT_BYTES = 1500  # in the workers, and in the test of several lots
CPUS = 3  # of the Ray that the tests share
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", *(k + c for k in (".csv", ".tsv", ".jsonl") for c in (".gz", ".zst")))
SIZES = (50, 1, CHUNK + 1, CHUNK - 1)
# Each format with one of the sizes; and none at all, which a header or a schema says.
CASES = [(s, SIZES[i % len(SIZES)]) for i, s in enumerate(SUFFIXES)] + [(".csv", 0), (".parquet", 0)]
# Of these alone: the tests of what happens to a job are of the other formats.
RAY_CASES = [
    (".csv.gz", 1),
    (".csv.zst", CHUNK - 1),
    (".jsonl.zst", CHUNK + 1),
    (".tsv.gz", 50),
    (".csv", 0),
    (".parquet", 0),
]
RECEIPT = re.compile(r"\d{5}-\d{12}\.json")
MARK = re.compile(r"-[0-9a-f]{12}(?=\.)")
PATIENCE = 60.0  # seconds that a test waits for what must come


def write_pairs(path: Path, rows: int, special: dict[int, str] | None = None) -> Path:
    """Write an input in any format, with a broken row in each eleventh place; compressed ones have members of 20 rows."""
    texts = [(special or {}).get(i, f"the dog {i} runs") for i in range(rows)]
    broken = {i for i in range(rows) if i % 11 == 5}
    kind = next(k for k in (".csv", ".tsv", ".jsonl", ".parquet") if k in path.suffixes)
    if kind == ".parquet":
        others = [None if i in broken else "a cat" for i in range(rows)]
        table = pa.table({"premise": pa.array(texts, pa.string()), "hypothesis": pa.array(others, pa.string())})
        pq.write_table(table, path, row_group_size=20)
        return path
    comma = "," if kind == ".csv" else "\t"
    if kind == ".jsonl":
        lines = [
            "{broken" if i in broken else json.dumps({"premise": t, "hypothesis": "a cat"}) for i, t in enumerate(texts)
        ]
    else:
        lines = [f"premise{comma}hypothesis"]
        lines += [t if i in broken else f"{t}{comma}a cat" for i, t in enumerate(texts)]
    pieces = ["".join(line + "\n" for line in lines[i : i + 20]).encode() for i in range(0, len(lines), 20)] or [b""]
    if path.suffix == ".gz":
        pieces = [gzip.compress(piece, mtime=0) for piece in pieces]
    elif path.suffix == ".zst":
        pieces = [zstd.compress(piece) for piece in pieces]
    path.write_bytes(b"".join(pieces))
    return path


def digests(output: Path) -> dict[str, str]:
    """Return the digest of each file of a finished output; of its manifest, of what is the same for each job."""
    names = sorted(path.name for path in output.parent.iterdir() if path.name.startswith(output.name))
    assert not [name for name in names if name.endswith((".job", ".partial"))], names
    contents = {name: (output.parent / name).read_bytes() for name in names}
    manifest = json.loads(contents[f"{output.name}.manifest.json"])
    contents[f"{output.name}.manifest.json"] = json.dumps(manifest | {"last_run": None, "mark": None}).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """The small bundle's scorer."""
    opened = Scorer.open(SMALL_BUNDLE, threads=1)
    yield opened
    opened.close()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the tests share: a Ray, a bucket that its workers see, and the folder of what they do at certain texts."""

    address: str
    bucket: Bucket
    spoil: Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One Ray for all; nothing of it is left at the end."""
    from pairlift.storage import s3

    path, spoil = tmp_path_factory.mktemp("path"), tmp_path_factory.mktemp("spoil")
    shutil.copy(ROOT / "tests/spoiled_workers.py", path / "sitecustomize.py")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        proxy = stack.enter_context(serve_proxy(port := stack.enter_context(serve_moto())))
        temporary = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")
        )  # a socket's name is short
        bucket = Bucket("conformance", proxy, port)
        settings = (
            bucket.environment
            | {
                "PAIRLIFT_SPOIL": str(spoil),
                "PAIRLIFT_LOT_BYTES": str(LOT_BYTES),
                "PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")]),
                "PYTHONPYCACHEPREFIX": f"{temporary}/pycache",  # half of a worker's start is to compile Ray, where that is not kept
                "RAY_AUTH_MODE": "disabled",
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_worker_niceness": "0",
            }
        )
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.delenv("RAY_ADDRESS", raising=False)
        s3._client.cache_clear()
        found = ray.init(
            num_cpus=CPUS, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False,
            logging_level="ERROR", _temp_dir=f"{temporary}/ray",
        )  # fmt: skip
        try:
            yield Shared(address=found.address_info["gcs_address"], bucket=bucket, spoil=spoil)
        finally:
            ray.shutdown()
            s3._client.cache_clear()
        assert wait_for(lambda: not find_processes(temporary)), find_processes(temporary)


def find_processes(word: str) -> list[str]:
    """Return the command lines of processes that have a word in their command line, environment or output's name."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdecimal() and int(path.name) != os.getpid():
                line = (path / "cmdline").read_bytes()
                where = os.fsencode((path / "fd/1").readlink())  # a worker's title stands where its environment was
                if word.encode() in line + (path / "environ").read_bytes() + where:
                    found.append(line.replace(b"\0", b" ").decode())
    return found


def wait_for(condition: Callable[[], object]) -> bool:
    """Wait until something is so, and return whether it came."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def start(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start `pairlift score` in a process of its own, with small chunks."""
    return subprocess.Popen(
        [sys.executable, "-m", "pairlift", "score", "--chunk-rows", str(CHUNK), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=cwd, env=os.environ | environment,
    )  # fmt: skip


@contextlib.contextmanager
def serve_clients(shared: Shared) -> Iterator[str]:
    """Run what answers clients of the shared Ray, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "proxy", "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--address", shared.address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        assert wait_for(lambda: answers() or server.poll() is not None)
        yield f"ray://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return a process's exit code and what it has said."""
    said = process.communicate(timeout=PATIENCE)
    return process.returncode, *said


def read_stamp_of(name: str) -> Stamp:
    """Return what an input is known by."""
    with open_input(name) as file:
        return read_stamp(file)


def make_expected(scorer: Scorer, source: Path, name: str) -> dict[str, str]:
    """Return the digests of what the local engine makes of an input."""
    calm = source.parent / "calm"
    calm.mkdir(exist_ok=True)
    score_small(scorer, str(source), str(calm / name))
    return digests(calm / name)


def list_parts(bucket: Bucket, prefix: str, beside: set[str]) -> list[str]:
    """Return the parts of a finished prefix in order: one job's, each chunk once, and beside them its manifest and some files."""
    keys = [key for key in bucket.list_keys() if key.startswith(prefix)]
    parts = sorted(key for key in keys if key.startswith(f"{prefix}part-"))
    names = [MARK.sub("", key) for key in parts]
    assert len(set(names)) == len(names)
    assert len({mark for key in keys for mark in MARK.findall(key)}) == 1, keys
    others = {MARK.sub("", key) for key in keys if key not in parts}
    assert others == {f"{prefix}_pairlift/manifest.json", *(f"{prefix}_pairlift/{name}.jsonl" for name in beside)}, keys
    return parts


def read_rejects(bucket: Bucket, prefix: str) -> bytes:
    """Return the rejected rows of a finished prefix."""
    manifest = json.loads(bucket.get(f"{prefix}_pairlift/manifest.json"))
    return bucket.get(prefix + manifest["rejects"]["path"])


def count_done(output: Path) -> int:
    """Return how many chunks of a job are done for good."""
    return len(
        [path for path in output.with_name(f"{output.name}.job").glob("*/*.json") if RECEIPT.fullmatch(path.name)]
    )


def test_the_function_makes_what_the_local_engine_makes_of_every_format_and_size(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JobOptions.__init__.__kwdefaults__, "chunk_rows", CHUNK)
    function = Function(scorer, Settings(bundle=str(SMALL_BUNDLE)), 0.0)
    for suffix, rows in CASES:
        source = write_pairs(tmp_path / f"in{rows}{suffix}", rows)
        calm = tmp_path / f"calm/out{rows}{suffix}"
        make_expected(scorer, source, calm.name)
        bucket, key = shared.bucket, f"function/{calm.name}"
        name = bucket.put(f"function/{source.name}", source.read_bytes())
        answer = function({"input": name, "output": bucket.url(key)})
        assert (answer["rows"], bucket.get(key)) == (rows, calm.read_bytes()), (suffix, rows)
        rejects = calm.with_name(f"{calm.name}.rejects.jsonl")
        assert rejects.exists() == (rows > 5)
        assert not rejects.exists() or bucket.get(f"{key}.rejects.jsonl") == rejects.read_bytes()


def test_ray_makes_what_the_local_engine_makes_of_every_format_and_size(
    scorer: Scorer, shared: Shared, tmp_path: Path
) -> None:
    def run(case: tuple[str, int]) -> tuple[dict[str, str], dict[str, str]]:
        suffix, rows = case
        source = write_pairs(tmp_path / f"in{rows}{suffix}", rows)
        output = tmp_path / f"out{rows}{suffix}"
        score_small(scorer, source, output, engine=Cluster(workers=1).run)
        return digests(output), make_expected(scorer, source, output.name)

    with ThreadPoolExecutor(CPUS - 1) as pool:
        for case, (found, expected) in zip(RAY_CASES, pool.map(run, RAY_CASES), strict=True):
            assert found == expected, case


@pytest.mark.slow
def test_ray_makes_of_several_inputs_what_the_local_engine_makes(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # workers have another working directory
    (tmp_path / "in/deep").mkdir(parents=True)
    for name, rows in (("1", 50), ("2", 1), ("deep/3", CHUNK), ("deep/4", CHUNK + 1)):
        write_pairs(tmp_path / f"in/{name}.csv.gz", rows)
    names = find_inputs("in/")
    (tmp_path / "calm").mkdir()
    score_small(scorer, names, "calm/out.csv.gz")
    score_small(scorer, names, "out.csv.gz", engine=Cluster(workers=2).run)
    assert digests(tmp_path / "out.csv.gz") == digests(tmp_path / "calm/out.csv.gz")
    objects = [shared.bucket.put(f"several/{name}", Path(name).read_bytes()) for name in names]
    output = shared.bucket.url("several-parts/")
    score_small(scorer, objects, output, engine=Cluster(workers=2).run)
    parts = list_parts(shared.bucket, "several-parts/", {"rejects"})
    header = b"premise,hypothesis,"
    rows = b"".join(gzip.decompress(shared.bucket.get(key)) for key in parts).replace(b"\r", b"")
    whole = gzip.decompress((tmp_path / "calm/out.csv.gz").read_bytes()).replace(b"\r", b"")
    assert [line for line in rows.splitlines() if not line.startswith(header)] == whole.splitlines()[1:]
    refused = [json.loads(line) for line in read_rejects(shared.bucket, "several-parts/").splitlines()]
    assert refused == [
        json.loads(line) for line in (tmp_path / "calm/out.csv.gz.rejects.jsonl").read_bytes().splitlines()
    ]


@pytest.mark.slow
def test_workers_plan_several_lots_and_go_on_where_they_died(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LOT_BYTES", LOT_BYTES)
    monkeypatch.setattr("pairlift.ray.feed.Feed.plan_here", None)
    (tmp_path / "in").mkdir()
    for i, rows in enumerate((1200, 3, 1, 40, 60, 2)):  # the first has more chunks than are planned at a time
        write_pairs(tmp_path / f"in/{i}.csv", rows, {30: f"once lots{i}"})
    names = find_inputs(f"{tmp_path}/in/")
    assert len(inputs.cut_lots(inputs.stamp_inputs(names, read_stamp_of(names[0])))) == 3
    (tmp_path / "calm").mkdir()
    score_small(scorer, names, tmp_path / "calm/out.csv")
    for i in (0, 3):
        (shared.spoil / f"lots{i}").touch()
    output, totals = tmp_path / "out.csv", list[int | None]()
    done = score_small(
        scorer, names, output, engine=Cluster(workers=2).run, progress=lambda step: totals.append(step.total)
    )
    assert not list(shared.spoil.iterdir())
    assert (done.totals.rows, totals[-1]) == (1306, 1306)
    assert digests(output) == digests(tmp_path / "calm/out.csv")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file", "prefix"])
def test_a_worker_that_is_killed_is_begun_again(scorer: Scorer, shared: Shared, tmp_path: Path, place: str) -> None:
    source = write_pairs(tmp_path / "in.jsonl.gz", 200, {40: f"once {place}", 150: f"once {place}2"})
    expected = make_expected(scorer, source, "out.jsonl")
    (shared.spoil / place).touch()
    (shared.spoil / f"{place}2").touch()
    output = str(tmp_path / "out.jsonl") if place == "file" else shared.bucket.url("parts/")
    score_small(scorer, source, output, engine=Cluster(workers=2).run)
    assert not list(shared.spoil.iterdir())
    calm = (tmp_path / "calm/out.jsonl").read_bytes()
    if place == "file":
        assert digests(tmp_path / "out.jsonl") == expected
    else:
        parts = list_parts(shared.bucket, "parts/", {"rejects"})
        assert b"".join(gzip.decompress(shared.bucket.get(key)) for key in parts) == calm
        assert read_rejects(shared.bucket, "parts/") == (tmp_path / "calm/out.jsonl.rejects.jsonl").read_bytes()


@pytest.mark.slow
def test_a_chunk_that_kills_each_worker_ends_the_job_and_what_is_done_is_kept(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_pairs(tmp_path / "in.parquet", 100, {50: "poison cup"}), tmp_path / "out.parquet"
    (shared.spoil / "cup").touch()
    monkeypatch.setattr(ray_pool, "RETRIES", 1)
    message = r"the chunk of row 48( and \d others)? cannot be scored: workers died or were lost 2 times at one \([^)]*\S.*\); what is done is kept"
    with pytest.raises(StorageError, match=message) as caught:
        score_small(scorer, source, output, engine=Cluster(workers=1).run)
    (shared.spoil / "cup").unlink()
    assert (caught.value.exit_code, count_done(output), output.exists()) == (5, 6, False)
    assert score_small(scorer, source, output, engine=Cluster(workers=1).run).resumed == 84
    assert digests(output) == make_expected(scorer, source, output.name)


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_job(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_pairs(tmp_path / "in.jsonl", 100), tmp_path / "out.jsonl"
    monkeypatch.setattr(ray_pool, "RETRIES", 1)
    monkeypatch.setattr("pairlift.ray.engine.describe_task", lambda *job: "another version")
    with pytest.raises(
        StorageError, match=r"no worker can start \(.*'str' object has no attribute 'leaders'\); check that"
    ):
        score_small(scorer, source, output, engine=Cluster(workers=1).run)


@pytest.mark.slow
def test_a_chunk_that_takes_too_long_ends_the_job_and_the_local_engine_goes_on(
    scorer: Scorer, shared: Shared, tmp_path: Path
) -> None:
    source, output = write_pairs(tmp_path / "in.tsv.zst", 60, {20: "hold slow"}), tmp_path / "out.tsv.zst"
    (shared.spoil / "slow").touch()
    with pytest.raises(
        StorageError, match=r"the chunk of row 16 took more than 0\.3 s; what is done is kept: raise --chunk-seconds"
    ):
        score_small(scorer, source, output, engine=Cluster(workers=1, seconds=0.3).run)
    (shared.spoil / "slow").unlink()
    assert score_small(scorer, source, output).resumed == 16
    assert digests(output) == make_expected(scorer, source, output.name)


@pytest.mark.slow
def test_a_driver_that_is_killed_is_followed_by_another(scorer: Scorer, shared: Shared, tmp_path: Path) -> None:
    source, output = write_pairs(tmp_path / "in.csv", 120, {70: "hold driver"}), tmp_path / "out.csv"
    (shared.spoil / "driver").touch()
    process = start(SMALL_BUNDLE, source, output, "--engine", "ray", "--workers", "1", RAY_ADDRESS=shared.address)
    try:
        assert wait_for(lambda: count_done(output) >= 4 or process.poll() is not None)
        with pytest.raises(DestinationError, match="another process is at work"):
            score_small(scorer, source, output, engine=Cluster(workers=1).run)
    finally:
        process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    (shared.spoil / "driver").unlink()
    assert score_small(scorer, source, output, engine=Cluster(workers=1).run).resumed == 64
    assert digests(output) == make_expected(scorer, source, output.name)


@pytest.mark.slow
def test_two_drivers_at_once_make_one_output(scorer: Scorer, shared: Shared, tmp_path: Path) -> None:
    source, output = write_pairs(tmp_path / "in.jsonl", 200), f"{tmp_path}/parts/"
    make_expected(scorer, source, "out.jsonl")

    def run(number: int) -> int:
        return score_small(scorer, source, output, engine=Cluster(workers=1).run).totals.rows

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [200, 200]
    parts = sorted((tmp_path / "parts").glob("part-*"))
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "calm/out.jsonl").read_bytes()


@pytest.mark.slow
def test_sigint_ends_the_command_while_a_chunk_hangs_and_the_same_command_goes_on_through_a_client(
    scorer: Scorer, shared: Shared, tmp_path: Path
) -> None:
    texts = {55: "hold direct", 90: "hold client"}
    source, output = write_pairs(tmp_path / "in.tsv", 100, texts), tmp_path / "out.tsv"
    shutil.copytree(SMALL_BUNDLE, tmp_path / "bundle")
    names = ("bundle", source.name, output.name)  # the workers are in another directory
    command = (*names, "--engine", "ray", "--workers", "1")
    for name in ("direct", "client"):
        (shared.spoil / name).touch()
    with serve_clients(shared) as client:
        for name, address, chunks in (("direct", shared.address, 3), ("client", client, 5)):
            process = start(*command, cwd=tmp_path, RAY_ADDRESS=address)
            assert wait_for(
                lambda chunks=chunks, process=process: count_done(output) >= chunks or process.poll() is not None
            )
            process.send_signal(signal.SIGINT)
            message = f"stopped by SIGINT; {chunks * CHUNK} rows are done; run the same command to continue\n"
            assert finish(process) == (130, "", message)
            (shared.spoil / name).unlink()
        code, out, err = finish(start(*command, cwd=tmp_path, RAY_ADDRESS=client))
    assert (code, out) == (1, ""), err
    words = [line.split()[0] for line in err.splitlines()]
    assert words == ["91", "labels", "texts", "run", "bundle", "output"], err
    assert digests(output) == make_expected(scorer, source, output.name)


@pytest.mark.slow
def test_an_input_that_changes_under_work_is_noticed(scorer: Scorer, shared: Shared, tmp_path: Path) -> None:
    source, output = write_pairs(tmp_path / "in.jsonl", 100, {50: "hold change"}), tmp_path / "out.jsonl"
    (shared.spoil / "change").touch()

    def change(step: object) -> None:
        with source.open("a") as file:
            file.write("{}\n")
        (shared.spoil / "change").unlink(missing_ok=True)

    with pytest.raises(InputError, match=r"in\.jsonl: changed while it was read") as caught:
        score_small(scorer, source, output, progress=change, engine=Cluster(workers=1).run)
    assert caught.value.exit_code == 3
    assert not output.exists()


@pytest.mark.slow
def test_too_many_rejects_end_the_job(scorer: Scorer, shared: Shared, tmp_path: Path) -> None:
    source, output = write_pairs(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    for run in (None, Cluster(workers=1).run):
        options = {"engine": run} if run else {}
        with pytest.raises(RejectsError, match="the finished chunks are kept"):
            score_small(scorer, source, output, most_rejects=parse_most_rejects("3"), **options)  # type: ignore[arg-type]
        assert output.with_name("out.jsonl.job").exists()
        shutil.rmtree(output.with_name("out.jsonl.job"))


@pytest.mark.slow
def test_a_bundle_that_a_worker_finds_otherwise_is_refused(shared: Shared, bundle: Path, tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "in.jsonl", 20)
    scorer = Scorer.open(bundle, threads=1)
    tokenizer = bundle / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"tokenizer\.json: altered since the export"):
        score_small(scorer, str(source), str(tmp_path / "out.jsonl"), engine=Cluster(workers=1).run)
    scorer.close()


@pytest.mark.slow
def test_what_cannot_be_done_is_said_before_a_worker_begins(
    scorer: Scorer, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_pairs(tmp_path / "in.csv", 100), str(tmp_path / "out.csv")
    small = "the cluster has 3 processors, expected at least 4 for 1 workers of 3 threads and one for Ray itself; add machines"
    with pytest.raises(UsageError, match=small):
        score_small(scorer, source, output, engine=Cluster(threads=3).run)
    with pytest.raises(UsageError, match="expected at least 6 for 5 workers of 1 threads"):
        score_small(scorer, source, output, engine=Cluster(workers=5).run)
    with pytest.raises(UsageError, match="no column 'elsewhere'"):
        score_small(scorer, source, output, fields="elsewhere,premise", engine=Cluster().run)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'^--engine ray needs: pip install "pairlift\[ray\]"$'):
        score_small(scorer, source, output, engine=Cluster().run)


@pytest.mark.slow
def test_a_command_that_cannot_be_done_says_so_in_one_line(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "in.csv", 10)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = f"127.0.0.1:{server.getsockname()[1]}"
    ends = {
        ("-", "out.csv"): "--engine ray: standard input can only be read once, so it cannot be split between workers; give a file or an "
        "s3:// object",
        (source, "-"): "--engine ray: workers write the output in parts, so it cannot go to standard output; give a file, a directory/ or "
        "an s3:// object",
        (source, "out.csv"): f"--engine ray: no Ray at {nowhere} ([Errno 111] Connection refused); start it, or correct RAY_ADDRESS",
    }  # fmt: skip
    for arguments, message in ends.items():
        process = start(SMALL_BUNDLE, *arguments, "--engine", "ray", cwd=tmp_path, RAY_ADDRESS=nowhere)
        assert finish(process) == (2, "", f"error: {message}\n")


@pytest.mark.slow
def test_without_an_address_a_ray_of_its_own_comes_and_goes(scorer: Scorer, tmp_path: Path) -> None:
    source, output = write_pairs(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    expected = make_expected(scorer, source, output.name)
    mark = f"pairlift-{os.getpid()}-{time.time_ns()}"
    process = start(SMALL_BUNDLE, source, output, "--engine", "ray", PAIRLIFT_TEST=mark)
    seen: set[str] = set()
    while process.poll() is None:
        seen.update(find_processes(mark))
        time.sleep(0.1)
    code, out, err = finish(process)
    assert (code, out) == (1, ""), err
    assert err.startswith("18 rows scored"), err
    assert digests(output) == expected
    assert any("raylet" in line for line in seen)
    assert not [line for line in seen if "dashboard.py" in line and "--disable-frontend" not in line]
    assert wait_for(lambda: not find_processes(mark)), find_processes(mark)


def test_scores_in_a_data_set_are_the_scorers(scorer: Scorer, shared: Shared) -> None:
    rows = [{"premise": f"the dog {i}", "hypothesis": None if i == 3 else "a cat"} for i in range(40)]
    fields = scorer.bundle.manifest.fields
    good = [row for row in rows if row["hypothesis"]]
    expected = scorer.score([tuple(row[field] for field in fields) for row in good])
    data = ray.data.from_items(rows, override_num_blocks=1).map_batches(
        DatasetScorer, fn_constructor_args=[str(SMALL_BUNDLE)], batch_size=64, num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=1),
    )  # fmt: skip
    found = data.to_pandas()
    assert found["error"].notna().tolist() == [i == 3 for i in range(40)]
    assert found["error"][3].startswith("not_text: ")
    assert found["prediction"].isna().tolist() == found["error"].notna().tolist()
    kept = found.drop(index=3)
    names = [f"p_{label}" for label in scorer.labels]
    assert np.array_equal(kept[names].to_numpy(np.float32), expected)
    assert list(kept["prediction"]) == [scorer.labels[i] for i in expected.argmax(axis=1)]


def test_a_batch_without_its_columns_or_with_ours_is_refused() -> None:
    dataset = DatasetScorer(str(SMALL_BUNDLE))
    texts = np.array(["a", "b"], object)
    with pytest.raises(UsageError, match="the batch has no column 'premise'; it has hypothesis; say which with fields"):
        dataset({"hypothesis": texts})
    with pytest.raises(UsageError, match="the batch has a column 'error' already; it has premise, hypothesis, error"):
        dataset({"premise": texts, "hypothesis": texts, "error": texts})
    empty: dict[str, Any] = dataset({"premise": texts[:0], "hypothesis": texts[:0]})
    assert len(empty["prediction"]) == 0
