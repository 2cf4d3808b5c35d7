"""Objects in, objects out: the promises of a job hold in a bucket, whatever the network does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import pytest
from bucket import Bucket, bucket, moto_port
from conftest import ROOT, SMALL_BUNDLE, Run, run_pairlift, score_small
from pairlift import Scorer
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, StorageError
from pairlift.jobs.progress import Step
from pairlift.storage import object_file, upload
from pairlift.storage.open import open_input

__all__ = ["bucket", "moto_port"]
ROWS = 100
FORMATS = [".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.zst", ".parquet"]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in parts of a kilobyte."""
    monkeypatch.setattr(upload, "PART", 1024)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


def lines(broken: bool = True) -> bytes:
    """Return JSON lines, every eleventh of them broken."""
    rows = [json.dumps({"id": i, "premise": f"the dog runs {'x ' * (i % 7)}", "hypothesis": "a cat" * (i % 3)}) for i in range(ROWS)]  # fmt: skip
    return "".join(("{broken" if broken and i % 11 == 5 else row) + "\n" for i, row in enumerate(rows)).encode()


def score_here(scorer: Scorer, tmp_path: Path, data: bytes, suffix: str = ".jsonl") -> dict[str, bytes]:
    """Return what a job of files makes: the output and the rejects."""
    (tmp_path / "in.jsonl").write_bytes(data)
    score_small(scorer, tmp_path / "in.jsonl", tmp_path / f"out{suffix}")
    rejects = tmp_path / f"out{suffix}.rejects.jsonl"
    return {
        "output": (tmp_path / f"out{suffix}").read_bytes(),
        "rejects": rejects.read_bytes() if rejects.exists() else b"",
    }


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_object_is_scored_into_the_bytes_that_a_file_is(
    bucket: Bucket, scorer: Scorer, tmp_path: Path, suffix: str, small_parts: None
) -> None:
    here = score_here(scorer, tmp_path, lines(), suffix)
    outcome = score_small(scorer, bucket.put("a/in.jsonl", lines()), bucket.url(f"a/out{suffix}"))
    assert bucket.get(f"a/out{suffix}") == here["output"]
    assert bucket.get(f"a/out{suffix}.rejects.jsonl") == here["rejects"]
    assert bucket.list_keys() == [
        "a/in.jsonl",
        f"a/out{suffix}",
        f"a/out{suffix}.manifest.json",
        f"a/out{suffix}.rejects.jsonl",
    ]
    assert bucket.uploads() == []
    manifest = json.loads(bucket.get(f"a/out{suffix}.manifest.json"))
    assert manifest["output_size"] == len(here["output"])
    assert outcome.totals.rows == ROWS


def test_the_command_takes_objects_and_a_bundle_in_a_bucket(pairlift: Run, bucket: Bucket, tmp_path: Path) -> None:
    for file in SMALL_BUNDLE.rglob("*"):
        if file.is_file():
            bucket.put(f"models/nli/{file.relative_to(SMALL_BUNDLE)}", file.read_bytes())
    bucket.put("in.jsonl", lines())
    there = bucket.url("models/nli")
    done = pairlift("score", there, bucket.url("in.jsonl"), bucket.url("out.jsonl"))
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        f"91 rows scored, 9 rejected (bad_json 9): in {bucket.url('out.jsonl')}.rejects.jsonl",
    )
    (tmp_path / "in.jsonl").write_bytes(lines())
    assert pairlift("score", SMALL_BUNDLE, tmp_path / "in.jsonl", tmp_path / "out.jsonl").returncode == 1
    assert bucket.get("out.jsonl") == (tmp_path / "out.jsonl").read_bytes()
    assert pairlift("verify", there, "--all").returncode == 0
    assert pairlift("inspect", f"{there}/").stdout.startswith(f"bundle    {there} (digest ")
    streamed = pairlift("score", there, bucket.url("in.jsonl"), "-")
    assert streamed.stdout.encode() == bucket.get("out.jsonl")
    piped = pairlift("score", there, "-", bucket.url("piped.jsonl"), input=lines().decode())
    assert (piped.returncode, bucket.get("piped.jsonl")) == (1, bucket.get("out.jsonl"))
    bucket.put("labelled.csv", b"premise,hypothesis,label\na dog,a cat,neutral\na girl,a boy,entailment\n")
    measured = pairlift("evaluate", there, bucket.url("labelled.csv"), "--json")
    assert (measured.returncode, json.loads(measured.stdout)["rows"]) == (0, 2), measured.stderr
    bucket.put("models/nli/notes.txt", b"mine")
    refused = pairlift("verify", there)
    assert (refused.returncode, "notes.txt: not listed in manifest.json" in refused.stderr) == (4, True)


def test_a_job_that_stopped_goes_on_from_the_parts(bucket: Bucket, scorer: Scorer, tmp_path: Path) -> None:
    here = score_here(scorer, tmp_path, lines())
    source, output = bucket.put("in.jsonl", lines()), bucket.url("out.jsonl")
    steps: list[Step] = []

    def stop(step: Step) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise Stopped(15)

    with pytest.raises(Stopped):
        score_small(scorer, source, output, progress=stop)
    job = json.loads(bucket.get("out.jsonl.job/job.json"))
    assert [k for k in bucket.list_keys() if k.endswith(".part")] == [
        f"out.jsonl.job/{job['mark']}/00000-{16 * i:012d}.part" for i in range(3)
    ]
    assert "out.jsonl" not in bucket.list_keys()
    outcome = score_small(scorer, source, output)
    assert (outcome.resumed, bucket.get("out.jsonl")) == (48, here["output"])
    again = score_small(scorer, source, output)
    assert (again.finished, again.totals) == (True, outcome.totals)
    assert not [k for k in bucket.list_keys() if ".job/" in k]


@pytest.mark.parametrize("method", ["GET", "PUT", *(pytest.param(m, marks=pytest.mark.slow) for m in ("POST", "HEAD"))])
@pytest.mark.parametrize("kind", ["500", "503", "reset", "lost", "cut"])
def test_every_third_request_may_fail(
    bucket: Bucket,
    scorer: Scorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    method: str,
    small_parts: None,
) -> None:
    if kind == "cut" and method == "HEAD":
        pytest.skip("an answer without a body cannot be cut")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    monkeypatch.setattr(object_file, "BLOCK", 1500)
    here = score_here(scorer, tmp_path, lines())
    source = bucket.put("in.jsonl", lines())
    seen: dict[str, int] = {}

    def fail(verb: str, path: str, number: int) -> str:
        seen[verb] = seen.get(verb, 0) + 1
        return kind if verb == method and seen[verb] % 3 == 1 else ""

    bucket.proxy.fault = fail
    outcome = score_small(scorer, source, bucket.url("out.jsonl"))
    assert (outcome.totals.rows, bucket.get("out.jsonl")) == (ROWS, here["output"])
    assert bucket.get("out.jsonl.rejects.jsonl") == here["rejects"]
    assert [k for k in bucket.list_keys() if ".job/" in k] + bucket.uploads() == []
    assert seen[method] > 1, "no request of that kind was made"


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(
    bucket: Bucket, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_file, "BLOCK", 1024)
    monkeypatch.setattr(object_file, "BUFFER", 512)
    source = bucket.put("in.jsonl", lines())

    def replace(step: Step) -> None:
        bucket.put("in.jsonl", lines(broken=False))

    with pytest.raises(InputError, match=r"in\.jsonl: changed while it was read; run again when it is complete"):
        score_small(scorer, source, bucket.url("out.jsonl"), progress=replace)
    left = [key for key in bucket.list_keys() if not key.endswith("/verdict.json")]  # which says that the job is over
    assert left == ["in.jsonl"]


def test_a_resume_notices_another_input(bucket: Bucket, scorer: Scorer) -> None:
    source, output = bucket.put("in.jsonl", lines()), bucket.url("out.jsonl")
    with pytest.raises(Stopped):
        score_small(scorer, source, output, progress=lambda step: (_ for _ in ()).throw(Stopped(15)))
    bucket.put("in.jsonl", lines(broken=False))
    with pytest.raises(
        ChangedError,
        match=r"the unfinished job differs from this one: input in\.jsonl \(was \d+ bytes with ETag .*, is \d+ bytes with ETag .*\)",
    ):
        score_small(scorer, source, output)
    assert score_small(scorer, source, output, restart=True).totals.scored == ROWS


def test_what_others_have_put_there_is_left_alone(bucket: Bucket, scorer: Scorer) -> None:
    source = bucket.put("in.jsonl", lines())
    for key, message in (
        ("out.jsonl", r"out\.jsonl: exists and was not made by pairlift; remove it, or choose another name"),
        ("b.jsonl.manifest.json", r"b\.jsonl\.manifest\.json: exists but was not written by pairlift"),
        ("c.jsonl.rejects.jsonl", r"c\.jsonl\.rejects\.jsonl: exists but was not written by pairlift"),
    ):
        bucket.put(key, b"mine")
        with pytest.raises(DestinationError, match=message):
            score_small(scorer, source, bucket.url(key.split(".")[0] + ".jsonl"))
        assert bucket.get(key) == b"mine"
    score_small(scorer, source, bucket.url("d.jsonl"))
    bucket.put("d.jsonl", bucket.get("d.jsonl"))
    with pytest.raises(DestinationError, match=r"d\.jsonl: exists, altered since it was made \(another object\)"):
        score_small(scorer, source, bucket.url("d.jsonl"))


def test_an_output_that_comes_meanwhile_is_not_written_over(bucket: Bucket, scorer: Scorer, small_parts: None) -> None:
    source = bucket.put("in.jsonl", lines())

    def arrive(verb: str, path: str, number: int) -> str:
        if path.startswith(f"/{bucket.name}/out.jsonl?uploadId"):
            bucket.put("out.jsonl", b"theirs")
        return ""

    bucket.proxy.fault = arrive
    with pytest.raises(DestinationError, match=r"out\.jsonl: was made by another process meanwhile"):
        score_small(scorer, source, bucket.url("out.jsonl"))
    assert (bucket.get("out.jsonl"), bucket.uploads()) == (b"theirs", [])


def test_two_jobs_at_once_make_one_output(bucket: Bucket, tmp_path: Path) -> None:
    scorers = [Scorer.open(SMALL_BUNDLE) for _ in range(3)]
    here = score_here(scorers[0], tmp_path, lines())
    source, output = bucket.put("in.jsonl", lines()), bucket.url("out.jsonl")
    for i in range(5):
        ends: list[object] = []

        def run(scorer: Scorer, ends: list[object] = ends, output: str = output) -> None:
            try:
                ends.append(score_small(scorer, source, output).totals.rows)
            except Exception as error:
                ends.append(error)

        threads = [threading.Thread(target=run, args=[scorer]) for scorer in scorers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ends == [ROWS] * 3, f"round {i}"
        assert bucket.get("out.jsonl") == here["output"]
        assert score_small(scorers[0], source, output).finished
        assert [k for k in bucket.list_keys() if ".job/" in k] + bucket.uploads() == []
        for key in bucket.list_keys():
            if key != "in.jsonl":
                bucket.direct.delete_object(Bucket=bucket.name, Key=key)


def test_a_death_in_the_middle_of_an_upload_leaves_nothing_once_the_job_is_done(
    bucket: Bucket, small_parts: None, tmp_path: Path
) -> None:
    bucket.put("in.jsonl", lines())
    code = (
        "import sys; from pairlift import Scorer; from pairlift.jobs.job import score_file; from pairlift.inputs.options import JobOptions; "
        "from pairlift.storage import upload; upload.PART = 1024; "
        "score_file(Scorer.open(sys.argv[1]), *sys.argv[2:], JobOptions(chunk_rows=16))"
    )
    command = [sys.executable, "-c", code, str(SMALL_BUNDLE), bucket.url("in.jsonl"), bucket.url("out.jsonl")]

    def hold(verb: str, path: str, number: int) -> str:
        return "hold" if "out.jsonl?uploadId" in path and "partNumber=3" in path else ""

    bucket.proxy.fault = hold
    child = subprocess.Popen(command, env=os.environ | bucket.environment)
    assert bucket.proxy.reached.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    bucket.proxy.fault = lambda verb, path, number: ""
    assert bucket.uploads() == ["out.jsonl"]
    assert "out.jsonl" not in bucket.list_keys()
    subprocess.run(command, env=os.environ | bucket.environment, check=True, timeout=100)
    assert bucket.uploads() == []
    assert bucket.list_keys() == ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json", "out.jsonl.rejects.jsonl"]


@pytest.mark.parametrize(
    ("source", "output", "code", "message"),
    [
        ("s3://{bucket}/none.jsonl", "s3://{bucket}/out.jsonl", 3, "none.jsonl: no such object; expected a file of pairs"),
        ("s3://no-such-bucket/in.jsonl", "s3://{bucket}/out.jsonl", 3, "no such object; expected a file of pairs"),
        ("s3://{bucket}/in.jsonl", "s3://no-such-bucket/out.jsonl", 5, "no such bucket; make it, or fix the name"),
        ("s3://{bucket}", "s3://{bucket}/out.jsonl", 2, "found extension 'none'"),
        ("s3://{bucket}/in.jsonl", "s3:///out.jsonl", 2, "s3:///out.jsonl: expected s3://bucket/key"),
        ("s3://{bucket}/in.jsonl", "s3://{bucket}/in.jsonl", 2, "in.jsonl: the job would write over its input s3://"),
        ("s3://{bucket}/in.jsonl", "s3://{bucket}/" + "k" * 1000 + ".jsonl", 2, "bytes too long for the objects that go with it"),
        ("s3://{bucket}/p/in.jsonl", "s3://{bucket}/p/", 2, "is in it; choose another place for the output"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(bucket: Bucket, source: str, output: str, code: int, message: str) -> None:
    bucket.put("in.jsonl", lines())
    bucket.put("p/in.jsonl", lines())
    done = run_pairlift("score", SMALL_BUNDLE, source.format(bucket=bucket.name), output.format(bucket=bucket.name))
    assert (done.returncode, len(done.stderr.splitlines()), message in done.stderr) == (code, 1, True), done.stderr


def test_without_credentials_it_is_said_where_to_put_them(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run_pairlift("score", SMALL_BUNDLE, bucket.put("in.jsonl", lines()), "-")
    assert done.returncode == 3
    assert done.stderr.endswith(
        "unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE\n"
    )


def test_without_the_extra_it_is_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError('boto3')")
    done = run_pairlift("score", bundle, "s3://b/in.jsonl", "-", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (2, 'error: s3:// needs: pip install "pairlift[s3]"\n')


def test_storage_that_stays_broken_is_an_error_and_nothing_is_lost(
    bucket: Bucket, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)
    source, output = bucket.put("in.jsonl", lines()), bucket.url("out.jsonl")
    bucket.proxy.fault = lambda verb, path, number: "503" if verb == "PUT" and "00000-000000000048.part" in path else ""
    with pytest.raises(StorageError, match=r"00000-000000000048\.part: .*SlowDown.*run the same command again"):
        score_small(scorer, source, output)
    bucket.proxy.fault = lambda verb, path, number: ""
    assert score_small(scorer, source, output).resumed == 48


def test_a_range_is_read_from_anywhere(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_file, "BLOCK", 100)
    data = bytes(range(256)) * 4
    with open_input(bucket.put("x.bin", data)) as file:
        assert file.read(10) == data[:10]
        assert file.seek(-5, os.SEEK_END) == 1019
        assert file.read() == data[-5:]
        file.seek(250)
        assert (file.read(300), file.tell()) == (data[250:550], 550)
    assert boto3 is not None and ROOT
