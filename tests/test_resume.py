"""A job that dies anywhere goes on where it was, and its output is the same to the byte."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import Run
from pairlift import Scorer, chunk
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, StorageError
from pairlift.job import score_file
from pairlift.journal import JOURNAL, journal_path, remove_journal
from pairlift.outcome import Outcome
from pairlift.progress import Step

ROWS = 200


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 rows, so that 200 rows are 13 of them."""
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 16)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """JSON lines, every eleventh of them broken."""
    lines = [
        "{broken" if i % 11 == 5 else json.dumps({"id": i, "premise": f"the dog runs {'x ' * (i % 7)}", "hypothesis": "a cat" * (i % 3)})
        for i in range(ROWS)
    ]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def scorer(bundle: Path) -> Iterator[Scorer]:
    """The scorer of the small bundle."""
    scorer = Scorer.open(bundle)
    yield scorer
    scorer.close()


def uninterrupted(scorer: Scorer, pairs: Path, suffix: str) -> dict[str, str]:
    """Return the digests of what a job that nobody disturbs makes."""
    output = pairs.parent / "calm" / f"out{suffix}"
    output.parent.mkdir(exist_ok=True)
    score_file(scorer, str(pairs), str(output))
    return digests(output)


def digests(output: Path) -> dict[str, str]:
    """Return the digest of each file that a complete job leaves, which must be all that it leaves."""
    names = sorted(p.name for p in output.parent.iterdir() if p.name.startswith("out"))
    assert names == [output.name, f"{output.name}.manifest.json", f"{output.name}.rejects.jsonl"]
    manifest = output.parent / f"{output.name}.manifest.json"
    lasting = {key: value for key, value in json.loads(manifest.read_bytes()).items() if key != "last_run"}
    contents = {name: (output.parent / name).read_bytes() for name in names} | {manifest.name: orjson.dumps(lasting)}
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


class DiesError(Exception):
    """Stands for a death."""


def die_after(monkeypatch: pytest.MonkeyPatch, calls: int, error: BaseException) -> None:
    """Have the `calls`-th call to make something durable fail."""
    count = 0
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == calls:
            raise error
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def half_done(scorer: Scorer, pairs: Path, output: Path) -> None:
    """Leave a job that is done in part."""
    with pytest.MonkeyPatch.context() as patch:
        die_after(patch, 30, DiesError())
        with pytest.raises(DiesError):
            score_file(scorer, str(pairs), str(output))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_a_job_that_dies_at_any_durable_step_resumes_to_the_same_bytes(
    scorer: Scorer, pairs: Path, tmp_path: Path, suffix: str
) -> None:
    expected = uninterrupted(scorer, pairs, suffix)
    steps = 0
    while True:
        folder = tmp_path / f"death{steps}"
        folder.mkdir()
        output = folder / f"out{suffix}"
        steps += 1
        with pytest.MonkeyPatch.context() as patch:
            die_after(patch, steps, DiesError())
            try:
                score_file(scorer, str(pairs), str(output))
            except DiesError:
                died = True
            else:
                died = False
        if not died:
            break
        if output.exists():  # the last step: the output has its name, and is whole
            assert hashlib.sha256(output.read_bytes()).hexdigest() == expected[output.name]
        outcome = score_file(scorer, str(pairs), str(output))
        assert outcome.totals.rows == ROWS
        assert digests(output) == expected
    assert steps > 3 * ROWS / 16


def test_a_job_that_dies_while_it_cleans_up_leaves_what_the_next_run_removes(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    unlink = os.unlink
    for step in range(40):
        output = tmp_path / f"step{step}" / "out.jsonl"
        output.parent.mkdir()
        left = step

        def dying(path: Any, *arguments: Any, job: str = str(journal_path(output)), **options: Any) -> None:
            nonlocal left
            if str(path).startswith(job) or "dir_fd" in options:
                left -= 1
                if left < 0:
                    raise DiesError
            unlink(path, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "unlink", dying)
            try:
                score_file(scorer, str(pairs), str(output))
            except DiesError:
                died = True
            else:
                died = False
        outcome = score_file(scorer, str(pairs), str(output))
        assert outcome.totals.rows == ROWS
        assert digests(output) == expected
        if not died:
            return
    raise AssertionError("never came to an end")


def test_long_rows_end_a_chunk_early_and_a_job_of_them_resumes_to_the_same_bytes(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "CHUNK_BYTES", 500)
    monkeypatch.setattr(chunk, "WINDOW_BYTES", 200)
    steps: list[Step] = []
    score_file(scorer, str(pairs), str(tmp_path / "steps.jsonl"), progress=steps.append)
    assert sum(step.rows for step in steps) == ROWS
    assert max(step.rows for step in steps) < 16
    expected = uninterrupted(scorer, pairs, ".jsonl")
    half_done(scorer, pairs, tmp_path / "out.jsonl")
    assert score_file(scorer, str(pairs), str(tmp_path / "out.jsonl")).resumed > 0
    assert digests(tmp_path / "out.jsonl") == expected


def test_what_was_done_is_not_done_again(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    assert not output.exists()
    done = len((journal_path(output) / JOURNAL).read_bytes().splitlines()) - 1
    assert done > 5
    submitted: list[int] = []
    submit = scorer.submit
    monkeypatch.setattr(scorer, "submit", lambda texts: (submitted.append(len(texts)), submit(texts))[1])
    outcome = score_file(scorer, str(pairs), str(output))
    assert outcome.resumed == 16 * done
    assert sum(submitted) < ROWS - 14 * done


def test_a_line_of_the_journal_that_is_cut_off_is_a_chunk_that_is_not_done(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    path = journal_path(output) / JOURNAL
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:4]) + whole[4][:20])
    assert score_file(scorer, str(pairs), str(output)).resumed == 3 * 16
    assert digests(output) == expected


def test_a_changed_input_is_noticed_and_restart_begins_again(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    with pairs.open("a") as file:
        file.write('\n{"premise": "a", "hypothesis": "b"}')
    with pytest.raises(ChangedError, match=r"the job began otherwise: input size \(was \d+, is \d+\), input modified"):
        score_file(scorer, str(pairs), str(output))
    assert score_file(scorer, str(pairs), str(output), restart=True).totals.rows == ROWS + 1
    assert len(digests(output)) == 3


def test_a_row_that_changed_behind_the_same_size_and_time_is_noticed(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    stat = pairs.stat()
    pairs.write_text(pairs.read_text().replace('"id": 17,', '"id": 71,'))
    os.utime(pairs, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ChangedError, match="the rows from 16 on are not what they were when the job began"):
        score_file(scorer, str(pairs), str(output))


def test_another_variant_or_column_or_bundle_is_noticed(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    with pytest.raises(ChangedError, match="columns"):
        score_file(scorer, str(pairs), str(output), "hypothesis=premise,premise=hypothesis")
    monkeypatch.setattr(scorer.bundle, "digest", "0" * 64)
    with pytest.raises(ChangedError, match="bundle"):
        score_file(scorer, str(pairs), str(output))


def test_an_input_that_grows_while_it_is_read_is_no_result(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"

    def grow(rows: int) -> None:
        with pairs.open("a") as file:
            file.write(" ")

    with pytest.raises(InputError, match="changed while it was read"):
        score_file(scorer, str(pairs), str(output), progress=grow)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("out")] == []


def test_a_full_disk_keeps_what_is_done(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        die_after(patch, 20, OSError(28, "No space left on device"))
        with pytest.raises(StorageError, match="No space left on device; free space or mend it, then run the same"):
            score_file(scorer, str(pairs), str(output))
    assert not output.exists()
    assert score_file(scorer, str(pairs), str(output)).resumed > 0
    assert digests(output) == expected


def test_a_finished_job_says_so_and_does_nothing(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    first = pairlift("score", bundle, pairs, tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").stat()[:7], (tmp_path / "out.jsonl").stat().st_mtime_ns
    second = pairlift("score", bundle, pairs, tmp_path / "out.jsonl")
    assert first.returncode == second.returncode == 1
    assert second.stderr.endswith("out.jsonl.rejects.jsonl; it was complete already\n")
    assert ((tmp_path / "out.jsonl").stat()[:7], (tmp_path / "out.jsonl").stat().st_mtime_ns) == before


def test_an_output_of_another_job_is_not_touched(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    score_file(scorer, str(pairs), str(output))
    with pytest.raises(DestinationError, match="exists, made by another job: columns"):
        score_file(scorer, str(pairs), str(output), "hypothesis=premise,premise=hypothesis")
    output.write_text("shorter")
    with pytest.raises(DestinationError, match="exists, altered since it was made"):
        score_file(scorer, str(pairs), str(output))
    assert output.read_text() == "shorter"


def test_of_two_jobs_with_one_destination_one_wins(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    for round_ in range(30):
        folder = tmp_path / f"round{round_}"
        folder.mkdir()
        ends: list[Outcome | BaseException] = []

        def run(output: str, ends: list[Outcome | BaseException] = ends) -> None:
            try:
                ends.append(score_file(scorer, str(pairs), output))
            except DestinationError as error:
                ends.append(error)

        threads = [threading.Thread(target=run, args=(str(folder / "out.jsonl"),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        losers = [end for end in ends if isinstance(end, DestinationError)]
        assert len(ends) == 2
        assert len(losers) + sum(isinstance(end, Outcome) for end in ends) == 2
        assert len(losers) < 2
        assert all("another process is at work" in str(e) or "made by another process" in str(e) for e in losers)
        assert digests(folder / "out.jsonl") == expected


def test_a_strangers_directory_in_the_jobs_place_is_left_alone(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.job").mkdir()
    (tmp_path / "out.jsonl.job/precious").write_text("x")
    with pytest.raises(DestinationError, match=r"out\.jsonl\.job: exists and is no job's directory"):
        score_file(scorer, str(pairs), str(tmp_path / "out.jsonl"))
    assert (tmp_path / "out.jsonl.job/precious").read_text() == "x"


def test_a_signal_finishes_the_chunk_and_leaves_a_job_that_goes_on(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    with pytest.raises(Stopped, match="stopped by SIGTERM; 16 rows are done; run the same command to go on"):
        score_file(scorer, str(pairs), str(output), progress=lambda rows: os.kill(os.getpid(), signal.SIGTERM))
    assert score_file(scorer, str(pairs), str(output)).resumed == 16
    assert digests(output) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_command_goes_on_after_a_signal(
    pairlift: Run, bundle: Path, scorer: Scorer, tmp_path: Path, number: signal.Signals
) -> None:
    pairs = tmp_path / "many.jsonl"
    pairs.write_text(
        "".join(json.dumps({"premise": f"the dog {i}", "hypothesis": "a cat"}) + "\n" for i in range(60_000))
    )
    output = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "pairlift", "score", str(bundle), str(pairs), str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal = journal_path(output) / JOURNAL
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was faster than the signal")
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert number == signal.SIGKILL or "rows are done; run the same command to go on" in said
    assert not output.exists()
    done = pairlift("score", bundle, pairs, output)
    assert done.returncode == 0
    assert "rows were done by an earlier run" in done.stderr
    assert len(output.read_bytes().splitlines()) == 60_000
    assert not journal_path(output).exists()


def test_a_job_may_begin_while_another_removes_its_directory(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    folder = journal_path(output)
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "000000000000.part").touch()
    listdir = os.listdir
    removed: list[Path] = []

    def removed_meanwhile(path: Any) -> list[str]:
        names = listdir(path)
        if Path(path) == folder and not removed:
            removed.append(folder)
            (folder / "000000000000.part").unlink()
            (folder / "lock").unlink()
            folder.rmdir()
        return names

    monkeypatch.setattr(os, "listdir", removed_meanwhile)
    assert score_file(scorer, str(pairs), str(output)).totals.rows == ROWS
    assert not folder.exists()


def test_a_directory_that_vanishes_while_it_is_cleared_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out.jsonl.job"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "000000000000.part").touch()
    unlink = Path.unlink

    def twice(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=True)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", twice)
    remove_journal(folder)
    assert not folder.exists()
