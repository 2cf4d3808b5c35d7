"""A job that dies anywhere goes on where it was, and its output is the same to the byte."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import Run, score_small
from deaths import CALLS, death, find_receipts, job_folder
from pairlift import Scorer
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, StorageError
from pairlift.inputs import rows
from pairlift.jobs.progress import Step
from pairlift.outputs.outcome import Outcome

ROWS = 200  # 13 chunks


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
    score_small(scorer, pairs, output)
    return digests(output)


def digests(output: Path) -> dict[str, str]:
    """Return the digest of each file that a complete job leaves, which must be all that it leaves."""
    names = sorted(p.name for p in output.parent.iterdir() if p.name.startswith("out"))
    assert names == [output.name, f"{output.name}.manifest.json", f"{output.name}.rejects.jsonl"]
    manifest = output.parent / f"{output.name}.manifest.json"
    lasting = {
        key: value for key, value in json.loads(manifest.read_bytes()).items() if key not in ("last_run", "mark")
    }
    contents = {name: (output.parent / name).read_bytes() for name in names} | {manifest.name: orjson.dumps(lasting)}
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: OSError) -> None:
    """Have one call to make something durable fail."""
    count, sync = 0, os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise error
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def half_done(scorer: Scorer, pairs: Path, output: Path) -> int:
    """Leave a job that is done in part, and return how many chunks are."""
    with death(60, ["fsync"]):
        score_small(scorer, pairs, output)
    assert not output.exists()
    done = len(find_receipts(output))
    assert 5 < done < 13
    return done


@pytest.mark.parametrize(
    ("suffix", "calls"), [(".jsonl", CALLS), (".csv", ["fsync"]), (".tsv", ["fsync"]), (".parquet", ["fsync"])]
)
def test_a_job_that_dies_at_any_durable_step_resumes_to_the_same_bytes(
    scorer: Scorer, pairs: Path, tmp_path: Path, suffix: str, calls: list[str]
) -> None:
    expected = uninterrupted(scorer, pairs, suffix)
    steps = 0
    while True:
        output = tmp_path / f"death{steps}" / f"out{suffix}"
        output.parent.mkdir()
        steps += 1
        with death(steps, calls) as died:
            score_small(scorer, pairs, output)
        if not died:
            break
        if output.exists():  # the last steps: the output has its name, and is whole
            assert hashlib.sha256(output.read_bytes()).hexdigest() == expected[output.name]
        outcome = score_small(scorer, pairs, output)
        assert outcome.totals.rows == ROWS
        assert outcome.redone == 0
        assert digests(output) == expected
    assert steps > 3 * ROWS / 16


def test_a_job_that_dies_while_it_cleans_up_leaves_what_the_next_run_removes(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    for step in range(1, 80):
        output = tmp_path / f"step{step}" / "out.jsonl"
        output.parent.mkdir()
        with death(step, when=output.exists) as died:
            score_small(scorer, pairs, output)
        outcome = score_small(scorer, pairs, output)
        assert (outcome.totals.rows, outcome.finished) == (ROWS, True)
        assert digests(output) == expected
        if not died:
            assert step > 3 * ROWS / 16
            return
    raise AssertionError("never came to an end")


def test_long_rows_end_a_chunk_early_and_a_job_of_them_resumes_to_the_same_bytes(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK_BYTES", 500)
    monkeypatch.setattr(rows, "WINDOW_BYTES", 200)
    steps: list[Step] = []
    score_small(scorer, pairs, tmp_path / "steps.jsonl", progress=steps.append)
    assert sum(step.rows for step in steps) == ROWS
    assert max(step.rows for step in steps) < 16
    expected = uninterrupted(scorer, pairs, ".jsonl")
    half_done(scorer, pairs, tmp_path / "out.jsonl")
    assert score_small(scorer, pairs, tmp_path / "out.jsonl").resumed > 0
    assert digests(tmp_path / "out.jsonl") == expected


def test_what_was_done_is_not_done_again(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    done = half_done(scorer, pairs, output)
    submitted: list[int] = []
    submit = scorer.submit
    monkeypatch.setattr(scorer, "submit", lambda texts: (submitted.append(len(texts)), submit(texts))[1])
    outcome = score_small(scorer, pairs, output)
    assert outcome.resumed == 16 * done
    assert sum(submitted) < ROWS - 14 * done


def cut_off(receipt: Path) -> None:
    receipt.write_bytes(receipt.read_bytes()[:20])


def empty(receipt: Path) -> None:
    receipt.write_bytes(b"")


def of_another_job(receipt: Path) -> None:
    receipt.write_bytes(receipt.read_bytes().replace(receipt.parent.name.encode(), b"0" * 12))


def without_its_part(receipt: Path) -> None:
    receipt.with_suffix(".part").unlink()


def without_its_rejects(receipt: Path) -> None:
    receipt.with_suffix(".rejects").unlink()


def with_a_part_cut_off(receipt: Path) -> None:
    part = receipt.with_suffix(".part")
    part.write_bytes(part.read_bytes()[:-1])


def of_another_chunk(receipt: Path) -> None:
    receipt.write_bytes(find_receipts(str(receipt.parent.parent).removesuffix(".job"))[0].read_bytes())


@pytest.mark.parametrize(
    ("spoil", "redone"),
    [
        (cut_off, 0), (empty, 0), (Path.unlink, 0), (of_another_chunk, 0), (of_another_job, 0), (without_its_part, 1), (without_its_rejects, 1),
        (with_a_part_cut_off, 1),
    ],
)  # fmt: skip
def test_a_receipt_that_is_not_whole_or_lacks_its_files_is_a_chunk_that_is_not_done(
    scorer: Scorer, pairs: Path, tmp_path: Path, spoil: Callable[[Path], None], redone: int
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    done = half_done(scorer, pairs, output)
    spoil(find_receipts(output)[3])
    outcome = score_small(scorer, pairs, output)
    assert (outcome.resumed, outcome.redone) == (16 * (done - 1), redone), "the chunks beside it are kept"
    assert digests(output) == expected


def test_chunks_of_another_job_in_the_same_directory_are_not_taken(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    done = half_done(scorer, pairs, output)
    other = job_folder(output) / ("0" * 12)
    other.mkdir()
    for receipt in find_receipts(output)[3:5]:
        for path in (receipt, receipt.with_suffix(".part")):
            path.rename(other / path.name)
    assert score_small(scorer, pairs, output).resumed == 16 * (done - 2)
    assert digests(output) == expected


def test_a_part_without_its_receipt_is_written_again_if_it_is_another(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    for number, spoil in enumerate((bytes, lambda data: data[:-1], lambda data: data.replace(b"dog", b"cat"))):
        output = tmp_path / f"{number}" / "out.jsonl"
        output.parent.mkdir()
        done = half_done(scorer, pairs, output)
        receipt = find_receipts(output)[3]
        part = receipt.with_suffix(".part")
        receipt.unlink()
        part.write_bytes(spoil(part.read_bytes()))
        assert score_small(scorer, pairs, output).resumed == 16 * (done - 1)
        assert digests(output) == expected


def test_a_part_that_is_damaged_while_the_job_is_at_work_is_done_again(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    steps: list[Step] = []

    def damage(step: Step) -> None:
        steps.append(step)
        if len(steps) in (5, 9):
            part = find_receipts(output)[len(steps) - 3].with_suffix(".part")
            part.write_bytes(part.read_bytes().replace(b"dog", b"cat"))

    outcome = score_small(scorer, pairs, output, progress=damage)
    assert (outcome.redone, outcome.totals.rows) == (2, ROWS)
    assert digests(output) == expected


def test_parts_that_are_damaged_again_and_again_are_the_storages_fault(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"

    def damage(step: Step) -> None:
        part = find_receipts(output)[0].with_suffix(".part")
        part.write_bytes(part.read_bytes().replace(b"dog", b"cat"))

    with pytest.raises(StorageError, match="do not match their checksums: 1; check the storage, then run the"):
        score_small(scorer, pairs, output, progress=damage)
    assert not output.exists()


INPUT_CHANGED = (
    r"out\.jsonl\.job/job\.json: the unfinished job differs from this one: input pairs\.jsonl \(was \d+ bytes of [-\d]+ [:.\d]+ UTC, "
    r"is \d+ bytes of [-\d]+ [:.\d]+ UTC\); undo the change, or start over with --restart"
)


def test_a_changed_input_is_noticed_and_restart_begins_again(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    with pairs.open("a") as file:
        file.write('\n{"premise": "a", "hypothesis": "b"}')
    with pytest.raises(ChangedError, match=INPUT_CHANGED):
        score_small(scorer, pairs, output)
    assert score_small(scorer, pairs, output, restart=True).totals.rows == ROWS + 1
    assert len(digests(output)) == 3


def test_a_row_that_changed_behind_the_same_size_and_time_is_noticed(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    stat = pairs.stat()
    pairs.write_text(pairs.read_text().replace('"id": 17,', '"id": 71,'))
    os.utime(pairs, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ChangedError, match="the rows from 16 onwards have changed since the job began"):
        score_small(scorer, pairs, output)


def test_another_variant_or_column_or_bundle_is_noticed(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    with pytest.raises(ChangedError, match="columns"):
        score_small(scorer, pairs, output, fields="hypothesis=premise,premise=hypothesis")
    monkeypatch.setattr(scorer.bundle, "digest", "0" * 64)
    with pytest.raises(ChangedError, match="bundle"):
        score_small(scorer, pairs, output)


def test_an_input_that_grows_while_it_is_read_is_no_result(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"

    def grow(rows: int) -> None:
        with pairs.open("a") as file:
            file.write(" ")

    with pytest.raises(InputError, match="changed while it was read"):
        score_small(scorer, pairs, output, progress=grow)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("out")] == []


def test_a_full_disk_keeps_what_is_done(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        fail_at(patch, 40, OSError(28, "No space left on device"))
        with pytest.raises(StorageError, match="No space left on device; free space there, then run the same"):
            score_small(scorer, pairs, output)
    assert not output.exists()
    assert score_small(scorer, pairs, output).resumed > 0
    assert digests(output) == expected


def test_a_finished_job_says_so_and_does_nothing(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    first = pairlift("score", bundle, pairs, tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").stat()[:7], (tmp_path / "out.jsonl").stat().st_mtime_ns
    second = pairlift("score", bundle, pairs, tmp_path / "out.jsonl")
    assert first.returncode == second.returncode == 1
    assert second.stderr.endswith("out.jsonl.rejects.jsonl (by an earlier run; nothing to do)\n")
    assert ((tmp_path / "out.jsonl").stat()[:7], (tmp_path / "out.jsonl").stat().st_mtime_ns) == before


def test_an_output_of_another_job_is_not_touched(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    score_small(scorer, pairs, output)
    with pytest.raises(DestinationError, match="exists, made by another job: columns"):
        score_small(scorer, pairs, output, fields="hypothesis=premise,premise=hypothesis")
    output.write_text("shorter")
    with pytest.raises(DestinationError, match="exists, altered since it was made"):
        score_small(scorer, pairs, output)
    assert output.read_text() == "shorter"


def test_of_two_jobs_with_one_destination_one_wins(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    for round_ in range(30):
        folder = tmp_path / f"round{round_}"
        folder.mkdir()
        ends: list[Outcome | BaseException] = []

        def run(output: str, ends: list[Outcome | BaseException] = ends) -> None:
            try:
                ends.append(score_small(scorer, pairs, output))
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
    with pytest.raises(
        DestinationError, match=r"out\.jsonl\.job/: holds precious, which does not belong to a pairlift job"
    ):
        score_small(scorer, pairs, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl.job/precious").read_text() == "x"


def test_a_signal_finishes_the_chunk_and_leaves_a_job_that_goes_on(scorer: Scorer, pairs: Path, tmp_path: Path) -> None:
    expected = uninterrupted(scorer, pairs, ".jsonl")
    output = tmp_path / "out.jsonl"
    with pytest.raises(Stopped, match="stopped by SIGTERM; 16 rows are done; run the same command to continue"):
        score_small(scorer, pairs, output, progress=lambda rows: os.kill(os.getpid(), signal.SIGTERM))
    assert score_small(scorer, pairs, output).resumed == 16
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
    deadline = time.monotonic() + 60
    while len(find_receipts(output)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was faster than the signal")
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert number == signal.SIGKILL or "rows are done; run the same command to continue" in said
    assert not output.exists()
    done = pairlift("score", bundle, pairs, output)
    assert done.returncode == 0
    assert "rows were done by an earlier run" in done.stderr
    assert len(output.read_bytes().splitlines()) == 60_000
    assert not job_folder(output).exists()


def test_a_job_may_begin_while_another_removes_its_directory(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    folder = job_folder(output)
    (folder / ("0" * 12)).mkdir(parents=True)
    (folder / "lock").touch()
    (folder / ("0" * 12) / "00000-000000000000.part").touch()
    open_, removed = os.open, list[Path]()

    def removed_meanwhile(path: Any, *arguments: Any, **options: Any) -> int:
        if path == "lock" and not removed:
            removed.append(folder)
            shutil.rmtree(folder)
        return open_(path, *arguments, **options)

    monkeypatch.setattr(os, "open", removed_meanwhile)
    assert score_small(scorer, pairs, output).totals.rows == ROWS
    assert removed
    assert not folder.exists()


def test_what_vanishes_while_it_is_removed_is_gone(
    scorer: Scorer, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    half_done(scorer, pairs, output)
    unlink, rmdir = os.unlink, os.rmdir

    def twice(remove: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            with contextlib.suppress(OSError):
                remove(*arguments, **options)
            remove(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", twice(unlink))
        patch.setattr(os, "rmdir", twice(rmdir))
        assert score_small(scorer, pairs, output, restart=True).totals.rows == ROWS
    assert not job_folder(output).exists()
    assert len(digests(output)) == 3
