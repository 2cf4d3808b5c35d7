"""An output that ends in a slash is a directory or a prefix of parts, each a file by itself, which a manifest commits."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bucket import Bucket, bucket, moto_port
from conftest import SMALL_BUNDLE, Run, score_small
from pairlift import Scorer, formats
from pairlift.errors import DestinationError, InputError, Stopped
from pairlift.jobs.progress import Step

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


def strip_marks(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return files by their names without the mark that each job draws anew."""
    return {re.sub(r"-[0-9a-f]{12}(?=\.|$)|(?<=/)[0-9a-f]{12}(?=/)", "", name): data for name, data in found.items()}


def join_parts(found: dict[str, bytes]) -> bytes:
    """Return the bytes of all parts, one after the other."""
    return b"".join(data for name, data in sorted(found.items()) if name.startswith("part-"))


@pytest.mark.parametrize("suffix", ["", ".csv", ".csv.gz", ".tsv", ".parquet"])
def test_the_parts_one_after_the_other_are_the_file(
    scorer: Scorer, pairs: Path, place: Place, tmp_path: Path, suffix: str
) -> None:
    output, read = place[0].rstrip("/") + suffix + "/", place[1]
    if suffix:
        if output.startswith("s3"):
            pytest.skip("one format is enough there")
        root = Path(output)
        read = lambda: {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}  # noqa: E731
    kind = suffix or ".jsonl"
    whole = tmp_path / f"whole{kind}"
    outcome = score_small(scorer, pairs, output)
    score_small(scorer, pairs, whole)
    made = read()
    manifest = json.loads(made["_pairlift/manifest.json"])
    mark = manifest["mark"]
    assert re.fullmatch("[0-9a-f]{12}", mark)
    names = [
        f"part-00000-{16 * i:012d}-{mark}{kind}" for i in range(7) if i != 2
    ]  # of the third all rows were rejected
    assert sorted(made) == sorted([*names, "_pairlift/manifest.json", f"_pairlift/rejects-{mark}.jsonl"])
    rejects = made[manifest["rejects"]["path"]]
    assert manifest["rejects"]["path"] == f"_pairlift/rejects-{mark}.jsonl"
    assert rejects == Path(f"{whole}.rejects.jsonl").read_bytes()
    assert (manifest["rejects"]["size"], manifest["rejects"]["sha256"]) == (
        len(rejects), hashlib.sha256(rejects).hexdigest(),
    )  # fmt: skip
    rows = []
    for name in names:
        (tmp_path / name).write_bytes(made[name])
        rows += [dict(row.values) for row in formats.read_rows(str(tmp_path / name))]
    assert rows == [dict(row.values) for row in formats.read_rows(str(whole))]
    if kind == ".parquet":
        assert [pq.read_metadata(tmp_path / name).num_rows for name in names][:3] == [15, 14, 14]
    digests = [hashlib.sha256(made[name]).hexdigest() for name in names]
    assert [(p["path"], p["size"], p["sha256"]) for p in manifest["parts"]] == [
        (name, len(made[name]), digest) for name, digest in zip(names, digests, strict=True)
    ]
    assert (
        manifest["output_sha256"] == hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()
    )
    assert manifest["output_size"] == sum(len(made[name]) for name in names)
    assert (outcome.totals.rows, manifest["totals"]["rows"]) == (ROWS, ROWS)


def test_without_rejected_rows_there_is_no_file_of_them(scorer: Scorer, place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\n' * 40)
    score_small(scorer, tmp_path / "in.jsonl", place[0])
    found = place[1]()
    assert [name for name in found if not name.startswith("part-")] == ["_pairlift/manifest.json"]
    assert json.loads(found["_pairlift/manifest.json"])["rejects"] is None


def test_an_output_of_no_part_is_complete(scorer: Scorer, place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{broken\n" * 40)
    outcome = score_small(scorer, tmp_path / "in.jsonl", place[0])
    assert (outcome.totals.rows, outcome.totals.scored) == (40, 0)
    assert sorted(strip_marks(place[1]())) == ["_pairlift/manifest.json", "_pairlift/rejects.jsonl"]
    assert score_small(scorer, tmp_path / "in.jsonl", place[0]).finished


def test_a_job_that_stopped_goes_on(scorer: Scorer, pairs: Path, place: Place) -> None:
    output, read = place
    steps: list[Step] = []

    def stop(step: Step) -> None:
        steps.append(step)
        if len(steps) == 4:
            raise Stopped(15)

    with pytest.raises(Stopped):
        score_small(scorer, str(pairs), output, progress=stop)
    before = read()
    assert "_pairlift/manifest.json" not in before
    parts = {name: data for name, data in before.items() if name.startswith("part-")}
    assert [name[:24] for name in sorted(parts)] == [f"part-00000-{16 * i:012d}-" for i in (0, 1, 3)]
    outcome = score_small(scorer, str(pairs), output)
    assert outcome.resumed == 64
    after = read()
    assert parts.items() <= after.items()
    assert not [name for name in after if "/job" in name]
    assert score_small(scorer, str(pairs), output).finished
    pairs.write_text(pairs.read_text() + "\n{}")
    with pytest.raises(
        DestinationError, match=r"exists, made by another job: input in\.jsonl \(was \d+ bytes of .*, is \d+ bytes of "
    ):
        score_small(scorer, str(pairs), output)


@pytest.mark.parametrize("how", ["longer", "other", "gone", "empty"])
def test_a_part_that_was_altered_while_the_job_was_unfinished_is_made_again_and_no_other(
    scorer: Scorer, pairs: Path, tmp_path: Path, how: str
) -> None:
    output, steps = f"{tmp_path}/scores/", list[Step]()

    def stop(step: Step) -> None:
        steps.append(step)
        if len(steps) == 2:
            raise Stopped(15)

    with pytest.raises(Stopped):
        score_small(scorer, pairs, output, progress=stop)
    part, other = sorted((tmp_path / "scores").glob("part-*"))
    good, untouched = part.read_bytes(), (other.read_bytes(), other.stat().st_mtime_ns, other.stat().st_ino)
    if how == "gone":
        part.unlink()
    else:
        part.write_bytes({"longer": good + b"x", "other": good.replace(b"dog", b"cow"), "empty": b""}[how])
    steps = [Step(rows=0, rejected=0, total=None)] * 3
    outcome = score_small(scorer, pairs, output, progress=stop)
    assert (outcome.totals.rows, outcome.redone, outcome.resumed) == (ROWS, 1, 16)
    assert part.read_bytes() == good
    assert (other.read_bytes(), other.stat().st_mtime_ns, other.stat().st_ino) == untouched
    whole = tmp_path / "whole.jsonl"
    score_small(scorer, pairs, whole)
    assert b"".join(p.read_bytes() for p in sorted((tmp_path / "scores").glob("part-*"))) == whole.read_bytes()


def test_a_part_of_a_finished_job_that_was_altered_is_noticed(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = f"{tmp_path}/scores/"
    score_small(scorer, pairs, output)
    (part,) = (tmp_path / "scores").glob("part-00000-000000000016-*")
    good = part.read_bytes()
    part.write_bytes(good + b"x")
    size = f"{len(good) + 1} bytes, expected {len(good)}"
    with pytest.raises(DestinationError, match=rf"altered since it was made \({part.name}: {size}\)"):
        score_small(scorer, pairs, output)
    part.unlink()
    for how in ({}, {"restart": True}, {"force": True}):
        with pytest.raises(DestinationError, match=rf"altered since it was made \({part.name}: missing\)"):
            score_small(scorer, pairs, output, **how)


def test_what_is_no_jobs_is_left_alone(pairlift: Run, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/mine/", "--restart")
    message = f"error: {tmp_path}/mine/: holds notes.txt, which does not belong to a pairlift job; choose a directory or prefix that is empty\n"
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
    assert (done.returncode, "exists and is not a directory" in done.stderr) == (7, True)


def test_three_jobs_at_once_make_one_output(pairs: Path, place: Place, tmp_path: Path) -> None:
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(score_small(Scorer.open(SMALL_BUNDLE), str(pairs), place[0], chunk_rows=4).totals.rows)
        except Exception as error:
            ends.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [ROWS] * 3
    scorer = Scorer.open(SMALL_BUNDLE)
    score_small(scorer, pairs, tmp_path / "whole.jsonl", chunk_rows=4)
    assert score_small(scorer, pairs, place[0], chunk_rows=4).finished
    found = place[1]()
    assert join_parts(found) == (tmp_path / "whole.jsonl").read_bytes()
    beside = {name: data for name, data in found.items() if not name.startswith("part-")}
    assert sorted(strip_marks(beside)) == ["_pairlift/manifest.json", "_pairlift/rejects.jsonl"]
    listed = [part["path"] for part in json.loads(found["_pairlift/manifest.json"])["parts"]]
    assert listed == sorted(name for name in found if name.startswith("part-"))


def test_what_a_death_has_left_of_a_part_is_no_part_and_goes(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores"
    dies = (
        "import os\n"
        "from pairlift.storage.real_files import RealFiles; from pairlift.__main__ import main\n"
        "link = RealFiles.link\n"
        "RealFiles.link = lambda self, a, b: os._exit(9) if b.startswith('part-') else link(self, a, b)\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", dies, "score", "--chunk-rows", "16", SMALL_BUNDLE, pairs, f"{output}/"], check=False
    )
    assert (done.returncode, [path.name for path in output.iterdir()]) == (9, ["_pairlift"])
    left = [path.name for path in output.rglob("*") if path.is_file()]
    assert sorted(name.rpartition(".")[2] for name in left) == ["json", "partial"]
    score_small(scorer, pairs, f"{output}/")
    assert [path.name for path in (output / "_pairlift").iterdir() if "rejects" not in path.name] == ["manifest.json"]


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
        score_small(scorer, str(source), output, progress=change)
    (verdict,) = look()  # that what was done of it never counts
    assert re.fullmatch(r"_pairlift/job/[0-9a-f]{12}/verdict\.json", verdict)
    write("red", 40)
    score_small(scorer, str(source), output)
    parts = join_parts(look())
    assert (parts.count(b"red "), parts.count(b"dog ")) == (40, 0)
    assert [name for name in look() if not name.startswith("part-")] == ["_pairlift/manifest.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("part-000000000016.jsonl", r"holds part-000000000016\.jsonl, which an older version of pairlift has made; remove it"),
        ("manifest.json", r"holds manifest\.json, which an older version of pairlift has made; remove it"),
        ("part-00000-000000000016-1a2b3c4d5e6f.jsonl", r"holds parts that belong to no job \(part-00000-0{10}16-1a2b3c4d5e6f\.jsonl\); remove"),
        ("part-00000-000000000016-1a2b3c4d5e6f.csv", r"holds part-00000-0{10}16-1a2b3c4d5e6f\.csv, which does not belong to a pairlift job"),
        ("_pairlift/notes.txt", r"holds _pairlift/notes\.txt, which does not belong to a pairlift job"),
    ],
)  # fmt: skip
def test_parts_of_no_job_are_refused(scorer: Scorer, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\n')
    stranger = tmp_path / "parts" / name
    stranger.parent.mkdir(parents=True)
    stranger.write_text("{}\n")
    for how in ({}, {"restart": True}, {"force": True}):
        with pytest.raises(DestinationError, match=rf"parts/: {message}"):
            score_small(scorer, tmp_path / "in.jsonl", f"{tmp_path}/parts/", **how)
        assert [path for path in (tmp_path / "parts").rglob("*") if path.is_file()] == [stranger]
