"""Outputs of older versions, outputs that are replaced, and places that an output must not go to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SMALL_BUNDLE, Run, score_small
from deaths import death, find_receipts, job_folder
from pairlift import Scorer, formats
from pairlift.errors import ChangedError, DestinationError, InputError, UsageError
from pairlift.formats import format_of
from pairlift.inputs.names import find_inputs
from pairlift.jobs.identify import read_runtime
from pairlift.jobs.job import score_file
from pairlift.jobs.progress import Step
from pairlift.names import MANIFEST_OF_PARTS, MARK
from pairlift.outputs.outcome import Outcome

OLD_JOBS = ROOT / "tests/data/jobs/format2"
MODIFIED = 1_700_000_000 * 10**9  # as tests/data/make_old_jobs.py has it
KINDS = ("out.jsonl", "out/")


def write_pairs(path: Path, rows: int = 40, broken: int | None = None) -> Path:
    """Write JSON lines, perhaps with every so many of them broken."""
    lines = [json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat " * (i % 3)}) for i in range(rows)]
    path.write_text("".join(f"{'{broken' if broken and i % broken == 5 else line}\n" for i, line in enumerate(lines)))
    return path


def read_all(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder; of manifests, what each run has alike; without marks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = re.sub(rf"(part-\d{{5}}-\d{{12}}|rejects)-{MARK}", r"\1", path.relative_to(folder).as_posix())
        assert name not in found, f"{path}: of two jobs"
        data = path.read_bytes() if path.is_file() else b"a folder"
        if name.endswith("manifest.json"):
            kept = {key: value for key, value in json.loads(data).items() if key not in ("last_run", "mark")}
            data = re.sub(rf"-{MARK}\b", "", json.dumps(kept)).encode()
        found[name] = data
    return found


def is_whole(output: str, texts: str) -> bool:
    """Return whether an output is all of a job's whose rows have a text, by what its manifest says."""
    if not output.endswith("/"):
        return texts in Path(output).read_text()
    manifest = json.loads(Path(output, MANIFEST_OF_PARTS).read_bytes())
    parts = [Path(output, part["path"]).read_bytes() for part in manifest["parts"]]
    assert [hashlib.sha256(part).hexdigest() for part in parts] == [part["sha256"] for part in manifest["parts"]]
    rejects = manifest["rejects"]
    assert rejects is None or Path(output, rejects["path"]).stat().st_size == rejects["size"]
    return any(texts.encode() in part for part in parts)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What an older version has left, and the input as it was."""
    folder = Path(shutil.copytree(OLD_JOBS, tmp_path / "old"))
    os.utime(folder / "in.jsonl", ns=(MODIFIED, MODIFIED))
    return folder


def score_old(scorer: Scorer, old: Path, output: str, **asked: object) -> Outcome:
    """Run the command again by which an older version made its output."""
    return score_small(scorer, old / "in.jsonl", f"{old}/{output}", chunk_rows=4, **asked)


def test_a_file_that_an_older_version_did_not_finish_is_started_over_only_when_asked(
    scorer: Scorer, old: Path, tmp_path: Path
) -> None:
    before = read_all(old)
    with pytest.raises(ChangedError, match=r"left unfinished by another version .* or start over with --restart"):
        score_old(scorer, old, "unfinished.jsonl")
    assert read_all(old) == before
    outcome = score_old(scorer, old, "unfinished.jsonl", restart=True)
    assert (outcome.resumed, outcome.totals.rows) == (0, 12)
    assert (old / "unfinished.jsonl").read_bytes() == (old / "finished.jsonl").read_bytes()
    assert not job_folder(old / "unfinished.jsonl").exists()


@pytest.mark.parametrize("asked", [{}, {"restart": True}, {"force": True}])
@pytest.mark.parametrize("output", ["unfinished/", "finished/"])
def test_a_directory_of_an_older_version_is_left_alone(
    scorer: Scorer, old: Path, output: str, asked: dict[str, bool]
) -> None:
    before = read_all(old)
    with pytest.raises(DestinationError, match=r"which an older version of pairlift has made; remove it, or choose"):
        score_old(scorer, old, output, **asked)
    assert read_all(old) == before


def test_a_file_of_an_older_version_is_of_another_job_and_can_be_replaced(scorer: Scorer, old: Path) -> None:
    manifest = old / "finished.jsonl.manifest.json"
    told = json.loads(manifest.read_bytes())
    jsonl = format_of("in.jsonl")
    told["job"]["runtime"] = dict(read_runtime(jsonl, jsonl))  # as if it had been made here
    manifest.write_text(json.dumps(told))
    before = read_all(old)
    with pytest.raises(
        DestinationError, match=r"exists, made by another job: .*; remove it, choose another name, or add"
    ):
        score_old(scorer, old, "finished.jsonl")
    assert read_all(old) == before
    assert score_old(scorer, old, "finished.jsonl", force=True).totals.rows == 12
    after = read_all(old)
    assert after.keys() == before.keys()
    assert json.loads(manifest.read_bytes())["format"] > 2


def test_a_finished_directory_of_an_older_version_is_an_input(scorer: Scorer, old: Path, tmp_path: Path) -> None:
    names = find_inputs(f"{old}/finished/")
    assert [Path(name).name for name in names] == [f"part-{row:012d}.jsonl" for row in (0, 4, 8)]
    rows = [json.loads(row.raw)["premise"] for name in names for row in formats.read_rows(name)]
    assert rows == [f"the dog {i}" for i in range(12) if i != 5]
    assert score_small(scorer, names, tmp_path / "out.jsonl").totals.rejected == {"column_taken": 11}
    with pytest.raises(InputError, match=r"unfinished/manifest\.json is missing, so the parts next to it may be"):
        find_inputs(f"{old}/unfinished/")


@pytest.mark.parametrize("kind", KINDS)
def test_force_does_nothing_where_the_same_job_is_finished(scorer: Scorer, tmp_path: Path, kind: str) -> None:
    pairs, output = write_pairs(tmp_path / "in.jsonl", broken=11), f"{tmp_path}/{kind}"
    score_small(scorer, pairs, output)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")}
    assert score_small(scorer, pairs, output, force=True).finished
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", [None, 7])
def test_force_replaces_the_output_of_another_job_with_all_that_goes_with_it(
    scorer: Scorer, tmp_path: Path, kind: str, broken: int | None
) -> None:
    first = write_pairs(tmp_path / "first.jsonl", broken=11)
    second = write_pairs(tmp_path / "second.jsonl", rows=25, broken=broken)
    (tmp_path / "new").mkdir()
    (tmp_path / "place").mkdir()
    score_small(scorer, second, f"{tmp_path}/new/{kind}")
    score_small(scorer, first, f"{tmp_path}/place/{kind}")
    with pytest.raises(
        DestinationError, match=r"made by another job: .*; remove it, choose another name, or add --force"
    ):
        score_small(scorer, second, f"{tmp_path}/place/{kind}")
    assert score_small(scorer, second, f"{tmp_path}/place/{kind}", force=True).totals.rows == 25
    assert read_all(tmp_path / "place") == read_all(tmp_path / "new")


@pytest.mark.parametrize("kind", KINDS)
def test_force_never_replaces_what_is_not_ours(scorer: Scorer, tmp_path: Path, kind: str) -> None:
    pairs, other = write_pairs(tmp_path / "in.jsonl"), write_pairs(tmp_path / "other.jsonl", rows=20)
    output = f"{tmp_path}/place/{kind}"
    (tmp_path / "place").mkdir()
    if kind.endswith("/"):
        score_small(scorer, pairs, output)
        Path(output, "precious").write_text("mine")
    else:
        Path(output).write_text("mine")
    before = read_all(tmp_path / "place")
    with pytest.raises(
        DestinationError, match=r"was not made by pairlift|holds precious, which does not belong to a pairlift job"
    ):
        score_small(scorer, other, output, force=True)
    assert read_all(tmp_path / "place") == before


@pytest.mark.parametrize("kind", KINDS)
def test_force_does_not_replace_an_output_that_was_altered(scorer: Scorer, tmp_path: Path, kind: str) -> None:
    pairs, other = write_pairs(tmp_path / "in.jsonl"), write_pairs(tmp_path / "other.jsonl", rows=20)
    output = f"{tmp_path}/place/{kind}"
    (tmp_path / "place").mkdir()
    score_small(scorer, pairs, output)
    altered = next(Path(output).glob("part-*")) if kind.endswith("/") else Path(output)
    for change in (b"a line of mine\n", b""):
        kept = altered.read_bytes()
        altered.write_bytes(kept + change if change else kept.replace(b"dog 7", b"cat 7"))
        if change or not kind.endswith("/"):  # of parts, sizes alone are looked at
            with pytest.raises(DestinationError, match="exists, altered since it was made"):
                score_small(scorer, other, output, force=True)
            assert altered.read_bytes() != kept
        altered.write_bytes(kept)


@pytest.mark.parametrize("kind", KINDS)
def test_while_an_output_is_replaced_the_old_or_the_new_one_is_there_and_whole(
    scorer: Scorer, tmp_path: Path, kind: str
) -> None:
    first = write_pairs(tmp_path / "first.jsonl", broken=11)
    second = tmp_path / "second.jsonl"
    second.write_text(first.read_text().replace("dog", "man"))
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    score_small(scorer, second, f"{tmp_path}/new/{kind}")
    score_small(scorer, first, f"{tmp_path}/old/{kind}")
    expected = read_all(tmp_path / "new")
    steps, seen = 0, list[tuple[bool, bool]]()
    while True:
        place = tmp_path / f"place{steps}"
        shutil.copytree(tmp_path / "old", place)
        output = f"{place}/{kind}"

        def look(output: str = output) -> bool:
            seen.append((is_whole(output, "dog"), is_whole(output, "man")))
            return True

        steps += 1
        with death(steps, when=look) as died:
            score_small(scorer, second, output, force=True)
        if not died:
            break
        look()
        assert score_small(scorer, second, output, force=True).totals.rows == 40
        assert read_all(place) == expected
        shutil.rmtree(place)
    assert set(seen) == {(True, False), (False, True)}
    assert steps > 20


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_was_to_be_replaced_stays_without_force(scorer: Scorer, tmp_path: Path, kind: str) -> None:
    first, second = write_pairs(tmp_path / "first.jsonl"), write_pairs(tmp_path / "second.jsonl", rows=80)
    output = f"{tmp_path}/{kind}"
    score_small(scorer, first, output)
    with death(20, ["fsync"]) as died:
        score_small(scorer, second, output, force=True)
    assert died
    for source in (second, write_pairs(tmp_path / "third.jsonl", rows=20)):
        with pytest.raises((DestinationError, ChangedError), match=r"--force|--restart"):
            score_small(scorer, source, output)
    assert score_small(scorer, first, output).finished
    assert score_small(scorer, second, output, force=True).totals.rows == 80


def test_the_command_replaces_its_output_when_it_is_told_to(pairlift: Run, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "in.jsonl", rows=3)
    command = ["score", SMALL_BUNDLE, pairs, tmp_path / "out.jsonl"]
    assert pairlift(*command).returncode == 0
    write_pairs(pairs, rows=4)
    done = pairlift(*command)
    assert (done.returncode, len(done.stderr.splitlines())) == (7, 1)
    assert re.search(
        r"out\.jsonl: exists, made by another job: input in\.jsonl \(was \d+ bytes of .* UTC, is \d+ bytes of .* UTC\); remove it, "
        r"choose another name, or add --force to replace it$",
        done.stderr.strip(),
    )
    assert pairlift(*command, "--force").returncode == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 4


def test_an_output_in_the_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "in.jsonl", rows=3)
    scorer = Scorer.open(bundle)
    (bundle / "deep").mkdir()
    (tmp_path / "link").symlink_to("bundle")
    before = read_all(bundle)
    for output in (
        "bundle/out.jsonl",
        "bundle/out/",
        "bundle/deep/out.jsonl",
        "bundle/",
        "link/out.jsonl",
        "link/out/",
        "link/",
    ):
        with pytest.raises(UsageError, match=r"is in the bundle .*, which must not be changed; choose another place"):
            score_small(scorer, pairs, f"{tmp_path}/{output}")
        assert read_all(bundle) == before
    with pytest.raises(UsageError, match="holds the bundle"):
        score_small(scorer, pairs, f"{tmp_path}/")
    assert read_all(bundle) == before
    scorer.close()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_name_that_is_too_long_is_a_usage_error(pairlift: Run, tmp_path: Path, slash: str) -> None:
    pairs = write_pairs(tmp_path / "in.jsonl", rows=3)
    name = f"{'a' * 260}.jsonl{slash}"
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/{name}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert re.search(
        r"the name is \d+ bytes too long for the files that go with it; choose a shorter one$", done.stderr.strip()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_thousands_of_small_inputs_are_the_rows_of_one(scorer: Scorer, tmp_path: Path) -> None:
    lines = write_pairs(tmp_path / "all.jsonl", rows=5000, broken=997).read_text().splitlines(keepends=True)
    (tmp_path / "in").mkdir()
    names = [f"{tmp_path}/in/{i:04d}.jsonl" for i in range(len(lines))]
    for name, line in zip(names, lines, strict=True):
        Path(name).write_text(line)
    score_file(scorer, f"{tmp_path}/all.jsonl", f"{tmp_path}/all.out.jsonl")
    expected = (tmp_path / "all.out.jsonl").read_bytes()
    refused = [json.loads(line) for line in (tmp_path / "all.out.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [reject["row"] for reject in refused] == [5, 1002, 1999, 2996, 3993, 4990]
    for output in ("out.jsonl", "out/"):
        outcome = score_file(scorer, names, f"{tmp_path}/{output}")
        assert outcome.totals.rows == 5000
        assert outcome.manifest is not None
        parts = [Path(f"{tmp_path}/{output}", part.path) for part in outcome.manifest.parts]
        assert len(parts) <= 3, "chunks are of many inputs"
        assert b"".join(path.read_bytes() for path in parts or [tmp_path / output]) == expected
        rejects = tmp_path / (f"out/{outcome.manifest.rejects.path}" if parts else "out.jsonl.rejects.jsonl")  # type: ignore[union-attr]
        found = [json.loads(line) for line in rejects.read_text().splitlines()]
        assert [(r["source"], r["row"], r["line"]) for r in found] == [(f"{r['row']:04d}.jsonl", 0, 1) for r in refused]
        assert [(r["reason"], r["raw"]) for r in found] == [(r["reason"], r["raw"]) for r in refused]


def half_done(scorer: Scorer, pairs: Path, output: str) -> None:
    """Leave a job that is done in part."""

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_small(scorer, pairs, output, progress=stop)


def make_link(path: Path, elsewhere: Path) -> None:
    """Move a file or folder elsewhere, with a stranger's file beside, and leave a link in its place."""
    elsewhere.mkdir()
    path.rename(elsewhere / "moved")
    (elsewhere / "precious").write_text("mine")
    path.symlink_to(elsewhere / "moved")


@pytest.mark.parametrize("what", ["folder", "mark", "job", "receipt", "part", "lock"])
def test_a_link_in_a_jobs_directory_is_refused_and_what_it_leads_to_is_left_alone(
    scorer: Scorer, tmp_path: Path, what: str
) -> None:
    pairs, output = write_pairs(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    half_done(scorer, pairs, str(output))
    receipt = find_receipts(output)[0]
    places = {"folder": job_folder(output), "mark": receipt.parent, "job": job_folder(output) / "job.json",
              "receipt": receipt, "part": receipt.with_suffix(".part"), "lock": job_folder(output) / "lock"}  # fmt: skip
    make_link(places[what], tmp_path / "elsewhere")
    before = read_all(tmp_path / "elsewhere")
    for asked in ({}, {"force": True}):
        with pytest.raises(DestinationError) as raised:
            score_small(scorer, pairs, output, **asked)
        assert raised.value.exit_code == 7
        assert read_all(tmp_path / "elsewhere") == before
        assert places[what].is_symlink()
        assert not output.exists()
    with contextlib.suppress(DestinationError):  # a link may be removed
        score_small(scorer, pairs, output, restart=True)
    assert read_all(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("what", ["ours", "folder", "mark", "job", "receipt", "part"])
def test_a_link_in_a_directory_of_parts_is_refused_and_what_it_leads_to_is_left_alone(
    scorer: Scorer, tmp_path: Path, what: str
) -> None:
    pairs, output = write_pairs(tmp_path / "in.jsonl"), tmp_path / "out"
    half_done(scorer, pairs, f"{output}/")
    receipt = next(output.glob("_pairlift/job/*/*.json"))
    places = {"ours": output / "_pairlift", "folder": output / "_pairlift/job", "mark": receipt.parent,
              "job": output / "_pairlift/job/job.json", "receipt": receipt, "part": next(output.glob("part-*"))}  # fmt: skip
    make_link(places[what], tmp_path / "elsewhere")
    before = read_all(tmp_path / "elsewhere")
    with pytest.raises(DestinationError) as raised:
        score_small(scorer, pairs, f"{output}/")
    assert raised.value.exit_code == 7
    assert read_all(tmp_path / "elsewhere") == before
    for asked in ({"force": True}, {"restart": True}):
        with contextlib.suppress(DestinationError):  # a link may be removed
            score_small(scorer, pairs, f"{output}/", **asked)
        assert read_all(tmp_path / "elsewhere") == before


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may write to, and come to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # the one that pytest gives is its user's alone
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def user(number: int) -> Iterator[None]:
    """Be another user."""
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def give(path: Path, number: int) -> None:
    """Give a folder to a user, with all that is in it."""
    for each in (path, *path.rglob("*")):
        os.chown(each, number, number)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 65533])
def test_a_job_of_another_user_is_refused_where_everybody_may_make_one(
    scorer: Scorer, shared: Path, kind: str, number: int
) -> None:
    pairs, output = write_pairs(shared / "in.jsonl"), f"{shared}/{kind}"
    half_done(scorer, pairs, output)
    theirs = shared / "out" if kind.endswith("/") else job_folder(output)
    give(theirs, 65534)
    for path in (theirs, *theirs.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)  # so that nothing but the owner keeps us out
    before = read_all(shared)
    for asked in ({}, {"restart": True}, {"force": True}):
        with (
            pytest.raises(
                DestinationError, match="was made by another user \\(number 65534\\) in a folder that everyb"
            ),
            user(number),
        ):
            score_small(scorer, pairs, output, **asked)
        assert read_all(shared) == before
    with user(65534):
        assert score_small(scorer, pairs, output).resumed == 16


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_of_another_user_is_taken_up_where_only_some_may_make_one(
    scorer: Scorer, shared: Path, kind: str
) -> None:
    shared.chmod(0o755)
    pairs, output = write_pairs(shared / "in.jsonl"), f"{shared}/{kind}"
    half_done(scorer, pairs, output)
    give(shared / "out" if kind.endswith("/") else job_folder(output), 65534)
    assert score_small(scorer, pairs, output).resumed == 16
