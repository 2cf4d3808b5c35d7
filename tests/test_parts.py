"""An output that ends in a slash is a directory or a prefix of parts, each a file by itself, and `manifest.json` commits it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bucket import Bucket, bucket, moto_port
from conftest import SMALL_BUNDLE, Run
from pairlift import Scorer, chunk, formats
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped
from pairlift.job import score_file
from pairlift.progress import Step

__all__ = ["bucket", "moto_port"]
ROWS = 100


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """JSON lines, every eleventh of them broken, and all of the third chunk."""
    lines = [
        "{broken" if i % 11 == 5 or i // 16 == 2 else json.dumps({"id": i, "premise": f"the dog {i}", "hypothesis": "a cat"})
        for i in range(ROWS)
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    return tmp_path / "in.jsonl"


@pytest.fixture(params=["directory", "prefix"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], dict[str, bytes]]]:
    """An output that ends in a slash, and what lies there."""
    if request.param == "directory":
        root = tmp_path / "scores"
        return f"{root}/", lambda: {
            p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
        }
    there: Bucket = request.getfixturevalue("bucket")
    return there.url("scores/"), lambda: {k.removeprefix("scores/"): there.get(k) for k in there.list_keys()}


Place = tuple[str, Callable[[], dict[str, bytes]]]


@pytest.mark.parametrize("suffix", ["", ".csv", ".csv.gz", ".tsv", ".parquet"])
def test_the_parts_one_after_the_other_are_the_file(
    scorer: Scorer, pairs: Path, place: Place, tmp_path: Path, suffix: str
) -> None:
    output, read = place[0].rstrip("/") + suffix + "/", place[1]
    if suffix:
        if output.startswith("s3"):
            pytest.skip("one format is enough there")
        read = lambda: {p.name: p.read_bytes() for p in sorted(Path(output).iterdir())}  # noqa: E731
    kind = suffix or ".jsonl"
    whole = tmp_path / f"whole{kind}"
    outcome = score_file(scorer, str(pairs), output)
    score_file(scorer, str(pairs), str(whole))
    found = read()
    names = [f"part-{16 * i:012d}{kind}" for i in range(7)]
    assert sorted(found) == sorted([*names, "manifest.json", "rejects.jsonl"])
    assert found["rejects.jsonl"] == Path(f"{whole}.rejects.jsonl").read_bytes()
    rows = []
    for name in names:
        (tmp_path / name).write_bytes(found[name])
        rows += [dict(row.values) for row in formats.read_rows(str(tmp_path / name))] if found[name] else []
    assert rows == [dict(row.values) for row in formats.read_rows(str(whole))]
    if kind == ".parquet":
        assert [pq.read_metadata(tmp_path / name).num_rows for name in names][:3] == [15, 14, 0]
    manifest = json.loads(found["manifest.json"])
    assert [(p["path"], p["size"], p["sha256"]) for p in manifest["parts"]] == [
        (name, len(found[name]), hashlib.sha256(found[name]).hexdigest()) for name in names if found[name]
    ]
    assert manifest["output_sha256"] == hashlib.sha256(b"".join(found[name] for name in names)).hexdigest()
    assert (outcome.totals.rows, manifest["totals"]["rows"]) == (ROWS, ROWS)


def test_a_job_that_stopped_goes_on(scorer: Scorer, pairs: Path, place: Place) -> None:
    output, read = place
    steps: list[Step] = []

    def stop(step: Step) -> None:
        steps.append(step)
        if len(steps) == 4:
            raise Stopped(15)

    with pytest.raises(Stopped):
        score_file(scorer, str(pairs), output, progress=stop)
    before = read()
    assert "manifest.json" not in before
    outcome = score_file(scorer, str(pairs), output)
    assert outcome.resumed == 64
    after = read()
    assert {name: data for name, data in before.items() if not name.startswith("_job/")}.items() <= after.items()
    assert not [name for name in after if "_job" in name]
    assert score_file(scorer, str(pairs), output).finished
    pairs.write_text(pairs.read_text() + "\n{}")
    with pytest.raises(DestinationError, match="exists, made by another job: input size"):
        score_file(scorer, str(pairs), output)


def test_a_part_that_was_altered_is_noticed(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = f"{tmp_path}/scores/"
    with pytest.raises(Stopped):
        score_file(scorer, str(pairs), output, progress=lambda step: (_ for _ in ()).throw(Stopped(15)))
    part = tmp_path / "scores/part-000000000000.jsonl"
    good = part.read_bytes()
    part.write_bytes(good + b"x")
    with pytest.raises(
        ChangedError, match=r"part-000000000000\.jsonl: is not as it was written; --restart to begin again"
    ):
        score_file(scorer, str(pairs), output)
    part.write_bytes(good.replace(b"dog", b"cow"))
    with pytest.raises(ChangedError, match="is not as it was written"):
        score_file(scorer, str(pairs), output)
    assert score_file(scorer, str(pairs), output, restart=True).totals.rows == ROWS
    assert part.read_bytes() == good
    (tmp_path / "scores/part-000000000016.jsonl").unlink()
    with pytest.raises(DestinationError, match=r"altered since it was made \(part-000000000016\.jsonl: no bytes\)"):
        score_file(scorer, str(pairs), output)


def test_what_is_no_jobs_is_left_alone(pairlift: Run, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/mine/", "--restart")
    message = (
        f"error: {tmp_path}/mine/: holds notes.txt, which is no job's; choose a directory or prefix that is empty\n"
    )
    assert (done.returncode, done.stderr) == (7, message)
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/")
    assert (done.returncode, "is in it; choose another place for the output" in done.stderr) == (2, True)
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/none/scores/")
    assert (done.returncode, "the folder" in done.stderr) == (2, True)
    done = pairlift("score", SMALL_BUNDLE, "-", f"{tmp_path}/scores/", input="{}")
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {tmp_path}/scores/: ends in a slash; expected a file's name\n",
    )
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{pairs}/")
    assert (done.returncode, "exists and is no directory" in done.stderr) == (7, True)


def test_three_jobs_at_once_make_one_output(
    pairs: Path, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 4)
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(score_file(Scorer.open(SMALL_BUNDLE), str(pairs), place[0]).totals.rows)
        except Exception as error:
            ends.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [ROWS] * 3
    score_file(Scorer.open(SMALL_BUNDLE), str(pairs), str(tmp_path / "whole.jsonl"))
    assert score_file(Scorer.open(SMALL_BUNDLE), str(pairs), place[0]).finished
    found = place[1]()
    assert (
        b"".join(v for k, v in sorted(found.items()) if k.startswith("part-"))
        == (tmp_path / "whole.jsonl").read_bytes()
    )
    assert not [
        name for name in found if not name.startswith("part-") and name not in ("manifest.json", "rejects.jsonl")
    ]


def test_what_a_death_has_left_of_a_part_is_hidden_and_goes(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores"
    dies = (
        "import os; from pairlift import chunk; from pairlift.storage import store; from pairlift.__main__ import main\n"
        "chunk.CHUNK_ROWS, link = 16, os.link\n"
        "store.os.link = lambda a, b: os._exit(9) if 'part-' in str(b) else link(a, b)\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", dies, "score", SMALL_BUNDLE, pairs, f"{output}/"], check=False)
    left = [path.name for path in output.iterdir() if path.name != "_job"]
    assert (done.returncode, len(left), left[0].startswith(".part-000000000000.jsonl.")) == (9, 1, True)
    score_file(scorer, str(pairs), f"{output}/")
    assert not [path.name for path in output.iterdir() if path.name.startswith(("_", "."))]


def test_parts_of_an_input_that_changed_are_not_taken_for_those_of_the_next(
    scorer: Scorer, place: Place, tmp_path: Path
) -> None:
    output, look = place
    source, steps = tmp_path / "in.csv", list[Step]()

    def write(word: str, rows: int) -> None:
        source.write_text("premise,hypothesis\n" + "".join(f"{word} {i},cat\n" for i in range(rows)))

    def change(step: Step) -> None:
        steps.append(step)
        if len(steps) == 2:
            write("cow", 41)

    write("dog", 40)
    with pytest.raises(InputError, match="changed while it was read"):
        score_file(scorer, str(source), output, progress=change)
    assert not look()
    write("red", 40)
    score_file(scorer, str(source), output)
    parts = b"".join(data for name, data in look().items() if name.startswith("part-"))
    assert (parts.count(b"red "), parts.count(b"dog ")) == (40, 0)


def test_parts_of_no_job_are_refused(scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\n')
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/part-000000000016.jsonl").write_text("{}\n")
    with pytest.raises(DestinationError, match=r"parts/: holds parts of no job; remove them, or choose another name"):
        score_file(scorer, str(tmp_path / "in.jsonl"), f"{tmp_path}/parts/")
