"""What is there already is safe: outputs, jobs and files of others; and what a job cannot do is said before it begins."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_BUNDLE, Run, score_small
from deaths import death, find_receipts, job_folder
from pairlift import Scorer
from pairlift.errors import DestinationError, InputError, Stopped, StorageError, UsageError
from pairlift.jobs import job
from pairlift.jobs.progress import Step
from pairlift.outputs.outcome import Outcome, describe

GOOD = '{"premise": "a dog", "hypothesis": "a cat"}\n'


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Forty rows."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat"}) + "\n" for i in range(40)))
    return path


def score(scorer: Scorer, source: object, output: object, **asked: Any) -> Outcome:
    """Score a file in chunks of eight rows."""
    return score_small(scorer, source, output, chunk_rows=8, **asked)


def stop_early(scorer: Scorer, pairs: Path, output: Path) -> None:
    """Leave a job that is done in part."""

    def stop(step: Step) -> None:
        raise Stopped(15)

    with pytest.raises(Stopped):
        score(scorer, pairs, output, progress=stop)


def test_standard_input_is_never_taken_for_what_came_before(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert pairlift("score", bundle, "-", output, input=GOOD).returncode == 0
    again = pairlift("score", bundle, "-", output, input=GOOD.replace("dog", "girl"))
    assert (again.returncode, again.stderr) == (7, f"error: {output}: exists, made by another job: standard input is never assumed to be the same; remove it, choose another name, or add --force to replace it\n")  # fmt: skip


def test_standard_input_does_not_begin_over_a_job_of_a_file(
    pairlift: Run, scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    stop_early(scorer, pairs, output)
    done = pairlift("score", SMALL_BUNDLE, "-", output, input=GOOD)
    assert done.returncode == 8
    assert "the unfinished job differs from this one: input (was in.jsonl, is -)" in done.stderr
    assert job_folder(output).exists()
    assert pairlift("score", SMALL_BUNDLE, "-", output, "--restart", input=GOOD).returncode == 0


def test_a_file_that_comes_meanwhile_costs_nothing_that_is_done(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output_of_others = "mine"
    with pytest.raises(DestinationError, match="was made by another process meanwhile; choose another name, or"):  # fmt: skip
        score(scorer, pairs, output, progress=lambda step: output.write_text(output_of_others))
    assert output.read_text() == output_of_others
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.job"]
    output.unlink()
    assert score(scorer, pairs, output).resumed == 40


def test_an_output_that_was_altered_is_noticed_though_its_size_is_the_same(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    score(scorer, pairs, output)
    output.write_text(output.read_text().replace("the dog 7", "the cat 7"))
    with pytest.raises(DestinationError, match=r"exists, altered since it was made \(other bytes\)"):
        score(scorer, pairs, output)


def test_a_part_that_was_altered_is_done_again_though_its_size_is_the_same(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    score(scorer, pairs, tmp_path / "calm.jsonl")
    stop_early(scorer, pairs, output)
    (receipt,) = find_receipts(output)
    part = receipt.with_suffix(".part")
    part.write_text(part.read_text().replace("the dog 7", "the cat 7"))
    outcome = score(scorer, pairs, output)
    assert (outcome.redone, outcome.resumed) == (1, 0)
    assert "; 1 damaged chunk was computed again\n" in describe(outcome, str(output))
    assert output.read_bytes() == (tmp_path / "calm.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["out.csv.rejects.jsonl", "out.csv.job/in.jsonl", "out.csv"])
def test_the_input_is_never_where_the_output_goes(scorer: Scorer, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.parent.mkdir(exist_ok=True)
    source.write_text(GOOD if name.endswith("jsonl") else "premise,hypothesis\na,b\n")
    with pytest.raises(
        (UsageError, DestinationError),
        match=r"the job would write over its input|which does not belong to a pairlift job",
    ):
        score(scorer, source, tmp_path / "out.csv")
    assert source.exists()


def test_a_strangers_manifest_is_left_alone(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.manifest.json").write_text("{}")
    with pytest.raises(
        DestinationError, match=r"exists but was not written by pairlift, .* a file of that name; move it"
    ):
        score(scorer, pairs, tmp_path / "out.jsonl")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_rejects_of_others_are_left_alone(scorer: Scorer, pairs: Path, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "out.jsonl.rejects.jsonl"
    there.write_text("precious") if kind == "file" else there.mkdir()
    with pytest.raises(
        DestinationError, match=r"exists but was not written by pairlift, .* a file of that name; move it"
    ):
        score(scorer, pairs, tmp_path / "out.jsonl")
    assert there.exists()


def test_an_output_that_was_moved_after_a_death_is_not_written_to(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    """The job's own copy of the output is the output, under another name, until that name is removed."""
    output, moved = tmp_path / "out.jsonl", tmp_path / "final.jsonl"
    with death(1, ["unlink"], when=output.exists):
        score(scorer, pairs, output)
    assert output.stat().st_nlink == 2
    output.rename(moved)
    with moved.open("a") as file:
        file.write("a line of the user's\n")
    score(scorer, pairs, output)
    assert moved.read_text() == output.read_text() + "a line of the user's\n"
    assert not output.samefile(moved)


def test_a_job_at_work_is_not_removed_by_one_that_is_complete(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output, aside = tmp_path / "out.jsonl", tmp_path / "aside"
    score(scorer, pairs, output)
    manifest = tmp_path / "out.jsonl.manifest.json"
    kept = manifest.read_bytes()
    output.rename(aside)

    def come_back(step: Step) -> None:
        aside.rename(output)
        manifest.write_bytes(kept)
        assert score(scorer, pairs, output).finished
        output.rename(aside)
        raise Stopped(15)

    with pytest.raises(Stopped):
        score(scorer, pairs, output, fields="hypothesis=premise,premise=hypothesis", progress=come_back)
    (receipt,) = find_receipts(output)
    assert receipt.with_suffix(".part").exists()


def test_an_input_that_grows_before_it_is_read_is_noticed(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(scorer: Scorer, limit: int) -> None:
        with pairs.open("a") as file:
            file.write(GOOD)

    monkeypatch.setattr(job, "replay", grow)
    with pytest.raises(InputError, match="changed while it was read"):
        score(scorer, pairs, tmp_path / "out.jsonl")


@pytest.mark.parametrize("target", ["out.jsonl.job", "out.jsonl.job/lock"])
def test_links_in_the_jobs_place_are_refused_and_not_waited_for(
    scorer: Scorer, pairs: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / target).parent.mkdir(exist_ok=True)
    (tmp_path / target).symlink_to(tmp_path / "nowhere")
    with pytest.raises((DestinationError, StorageError)):
        score(scorer, pairs, tmp_path / "out.jsonl")


def test_a_folder_that_vanishes_is_a_storage_error(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(job, "replay", lambda scorer, limit: folder.rmdir())
    with pytest.raises(StorageError, match="No such file or directory"):
        score(scorer, pairs, folder / "out.jsonl")


def test_a_path_that_is_too_long_is_a_storage_error(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises((StorageError, UsageError)):
        score(scorer, pairs, tmp_path / ("x" * 300) / "out.jsonl")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EXDEV, errno.EMLINK])
def test_a_file_system_without_hard_links_gets_its_output_all_the_same(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*paths: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    assert score(scorer, pairs, tmp_path / "out.jsonl").totals.scored == 40
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json"]


def test_rejects_are_the_same_from_wherever_the_command_is_run(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/in.jsonl").write_text((GOOD + "{broken\n") * 20)
    monkeypatch.chdir(tmp_path / "sub")
    stop_early(scorer, Path("in.jsonl"), Path("out.jsonl"))
    monkeypatch.chdir(tmp_path)
    assert score(scorer, "sub/in.jsonl", "sub/out.jsonl").resumed == 8
    lines = (tmp_path / "sub/out.jsonl.rejects.jsonl").read_text().splitlines()
    assert {json.loads(line)["source"] for line in lines} == {"in.jsonl"}


@pytest.mark.parametrize("output", ["out.jsonl", "-"])
def test_what_was_rejected_is_told_when_it_was_too_much(
    pairlift: Run, bundle: Path, tmp_path: Path, output: str
) -> None:
    where = output if output == "-" else tmp_path / output
    done = pairlift("score", bundle, "-", where, "--max-rejects", "0", input=GOOD + "{broken\n")
    assert done.returncode == 6
    assert "expected at most 0; fix the input, or allow more" in done.stderr
    assert ('"reason":"bad_json"' in done.stderr) == (output == "-")
    assert list(tmp_path.glob("out*")) == [], "nothing can be gone on with"


def test_a_directory_with_a_lock_and_something_else_is_no_jobs(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "out.jsonl")
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "precious").touch()
    with pytest.raises(DestinationError, match="holds precious, which does not belong to a pairlift job"):
        score(scorer, pairs, tmp_path / "out.jsonl")
    assert (folder / "precious").exists()


def test_an_input_that_is_removed_while_it_is_read_is_named(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    def remove(step: Step) -> None:
        pairs.unlink(missing_ok=True)

    with pytest.raises(InputError, match="was removed while it was read; restore it, and run the same command again"):
        score(scorer, pairs, tmp_path / "out.jsonl", progress=remove)
    assert job_folder(tmp_path / "out.jsonl").exists()


def test_a_pipe_is_refused_before_it_is_read(scorer: Scorer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.jsonl")
    with pytest.raises(InputError, match="is a pipe, which can be read once only; give it as standard input"):
        score(scorer, tmp_path / "in.jsonl", tmp_path / "out.jsonl")


def test_a_name_that_leaves_no_room_for_its_files_is_refused_at_once(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    for length, over in ((250, 9), (300, 59)):
        name = "x" * (length - 6) + ".jsonl"
        with pytest.raises(UsageError, match=f"the name is {over} bytes too long for the files that go with it"):
            score(scorer, pairs, tmp_path / name)


def test_a_link_to_nothing_is_an_output_that_exists(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DestinationError, match="exists"):
        score(scorer, pairs, tmp_path / "out.jsonl")


def test_a_name_that_is_not_utf8_is_a_name(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/donn\xe9es.jsonl"))
    source.write_text(GOOD + "{broken\n")
    done = pairlift("score", bundle, source, tmp_path / "out.jsonl")
    assert done.returncode == 1, done.stderr
    assert (
        json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["job"]["inputs"][0]["name"]
        == "donn\\xe9es.jsonl"
    )


@pytest.mark.parametrize("source", ["premise,hypothesis\n", "\n\n"])
def test_no_rows_are_no_error(pairlift: Run, bundle: Path, tmp_path: Path, source: str) -> None:
    name = "in.csv" if source.startswith("premise") else "in.jsonl"
    (tmp_path / name).write_text(source)
    for output in ("out.csv", "out.jsonl", "out.parquet"):
        done = pairlift("score", bundle, tmp_path / name, tmp_path / output)
        assert (done.returncode, done.stderr.splitlines()[0]) == (0, "0 rows scored")


@pytest.mark.parametrize(("limit", "code"), [("29%", 1), ("28.9%", 6), ("29", 1), ("28", 6), ("", 2), ("1/0%", 2)])
@pytest.mark.parametrize("output", ["out.jsonl", "-"])
def test_the_limit_of_rejects_is_exact_and_holds_everywhere(
    pairlift: Run, bundle: Path, tmp_path: Path, limit: str, code: int, output: str
) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD * 71 + "{broken\n" * 29)
    where = output if output == "-" else tmp_path / output
    done = pairlift("score", bundle, tmp_path / "in.jsonl", where, "--max-rejects", limit)
    assert done.returncode == code, done.stderr


def test_a_finished_job_is_held_to_a_new_limit(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD + "{broken\n")
    assert pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl").returncode == 1
    done = pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--max-rejects", "0")
    assert done.returncode == 6


@pytest.mark.parametrize(
    ("closed", "output", "code"), [(">&-", "out.jsonl", 0), ("2>&-", "out.jsonl", 0), ("2>/dev/full", "out.jsonl", 0), (">&-", "-", 5), ("<&-", "out.jsonl", 0)]
)  # fmt: skip
def test_closed_streams_change_nothing_that_does_not_need_them(
    bundle: Path, pairs: Path, tmp_path: Path, closed: str, output: str, code: int
) -> None:
    where = output if output == "-" else str(tmp_path / output)
    command = f'exec "$0" -m pairlift score "$1" "$2" "$3" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(bundle), str(pairs), where],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if output != "-":
        assert len((tmp_path / output).read_text().splitlines()) == 40


def test_who_has_read_enough_ends_the_job_quietly(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD * 30_000)
    command = [sys.executable, "-m", "pairlift", "score", str(bundle), str(tmp_path / "in.jsonl"), "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_stopped_job_of_standard_input_says_that_it_is_lost(bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "pairlift", "score", str(bundle), "-", str(output)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    deadline = time.monotonic() + 60
    while not find_receipts(output) and time.monotonic() < deadline:
        process.stdin.write(GOOD * 5000)
        process.stdin.flush()
    process.terminate()
    _, said = process.communicate(GOOD * 10_000, timeout=60)
    assert (process.returncode, said) == (
        143,
        "stopped by SIGTERM; a job that reads standard input cannot be resumed; start over\n",
    )
    assert list(tmp_path.glob("out*")) == []
