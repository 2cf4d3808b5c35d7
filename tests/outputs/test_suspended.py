"""A process that is suspended anywhere in a job and goes on when the world has changed does no harm, and ends truthfully.

What has been committed meanwhile stays as it is, in a directory as in a bucket; what the process says of its own end is so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bucket import Bucket, bucket, moto_port
from conftest import ROOT
from suspended_job import score_stub

__all__ = ["bucket", "moto_port"]
JOB = [sys.executable, str(ROOT / "tests/suspended_job.py")]
SECONDS = 60
RECEIPT = r".*/\d{5}-\d{12}\.json"
CHUNK = r".*\d{5}-\d{12}(-[0-9a-f]{12}\.jsonl|\.part)"
# Where a process is suspended: as it begins a job, in its first chunk, and in its commit.
STOPS = {
    "before its job is there": r"before:.*job\.json",
    "after its job is there": r"after:.*job\.json",
    "before its first part": f"before:{CHUNK}",
    "after its first part": f"after:{CHUNK}",
    "after its first receipt": f"after:{RECEIPT}",
    "before the manifest": r"before:.*manifest\.json",
    "after the manifest": r"after:.*manifest\.json",
}
OF_PARTS = {"before the verdict": r"before:.*verdict\.json", "after the verdict": r"after:.*verdict\.json"}
OF_OBJECTS = {"before the output": r"before:scores\.jsonl", "after the output": r"after:scores\.jsonl"}
PLACES = {"directory": STOPS | OF_PARTS, "prefix": STOPS | OF_PARTS, "object": STOPS | OF_OBJECTS}
QUICK = (
    "after its first part",
    "before the verdict",
    "before the output",
)  # in a bucket; the others in `make conformance`
everywhere = pytest.mark.parametrize(
    ("place", "stop"),
    [
        pytest.param(
            shape, stop, id=f"{shape}-{name}", marks=[] if name in QUICK or shape == "directory" else pytest.mark.slow
        )
        for shape, stops in PLACES.items()
        for name, stop in stops.items()
    ],
    indirect=["place"],
)


class Place:
    """An output in a directory or in a bucket.

    Attributes:
        output: Its name.
        source: The input.
    """

    def __init__(self, output: str, source: Path, folder: Path, bucket: Bucket | None = None) -> None:
        self.output, self.source, self._folder, self._bucket = output, source, folder, bucket
        self.whole = output.endswith("/")

    def read(self) -> dict[str, bytes]:
        """Return all files of the output by their names below it."""
        if self._bucket is not None:
            prefix = self.output.removeprefix(self._bucket.url(""))
            keys = [key for key in self._bucket.list_keys() if key.startswith(prefix)]
            return {key.removeprefix(prefix): self._bucket.get(key) for key in keys}
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in files}

    def remove(self) -> None:
        """Remove all of it, as rm -rf does."""
        if self._bucket is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for key in self._bucket.list_keys():
            self._bucket.direct.delete_object(Bucket=self._bucket.name, Key=key)

    def read_manifest(self) -> Any:
        """Return what the manifest says; None if there is none."""
        data = self.read().get("_pairlift/manifest.json" if self.whole else ".manifest.json")
        return json.loads(data) if data else None

    def read_rows(self) -> bytes:
        """Return the rows as whoever reads the output finds them: the parts that are there, listed or not."""
        found = self.read()
        if not self.whole:
            return found[""]
        return b"".join(data for name, data in sorted(found.items()) if name.startswith("part-"))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An output that several processes may make, and an input of three chunks."""
    write_input(tmp_path / "in.jsonl", "dog")
    if request.param == "directory":
        return Place(f"{tmp_path}/scores/", tmp_path / "in.jsonl", tmp_path / "scores")
    there: Bucket = request.getfixturevalue("bucket")
    name = "scores/" if request.param == "prefix" else "scores.jsonl"
    return Place(there.url(name), tmp_path / "in.jsonl", tmp_path, there)


def write_input(path: Path, word: str) -> None:
    """Write JSON lines about something, as a new file of that name."""
    lines = [json.dumps({"id": i, "premise": f"the {word} {i}", "hypothesis": "a cat"}) for i in range(24)]
    path.with_suffix(".new").write_text("\n".join(lines) + "\n")
    path.with_suffix(".new").replace(path)


def score_apart(source: Path, variant: str) -> bytes:
    """Return what a job of one file makes of the input as it is."""
    output = source.with_name(f"{variant}-{source.stat().st_mtime_ns}.jsonl")
    if not output.exists():
        assert score_stub(str(source), str(output), variant) == 0
    return output.read_bytes()


def wait(process: subprocess.Popen[str]) -> str:
    """Wait until a process stops itself or ends, and return which."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        options = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT  # subprocess is to find it, too
        found = os.waitid(os.P_PID, process.pid, options)
        if found is not None:
            return "stopped" if found.si_code == os.CLD_STOPPED else "ended"
        time.sleep(0.01)
    raise AssertionError("the process neither stops nor ends")


@contextlib.contextmanager
def suspended(place: Place, variant: str, *stops: str, **asked: bool) -> Iterator[subprocess.Popen[str]]:
    """Start a job, and yield its process when it has stopped itself."""
    command = [*JOB, str(place.source), place.output, variant, json.dumps(asked), *stops]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert wait(process) == "stopped", process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let a process go on to its end, and return its exit code and what it said."""
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said


def check_whole(place: Place, rows: dict[str, bytes]) -> str:
    """Hold an output to what one job makes, of one variant alone and with no other rows; return the variant."""
    manifest, found = place.read_manifest(), place.read()
    variant: str = manifest["job"]["variant"]
    assert place.read_rows() == rows[variant]
    if not place.whole:
        assert hashlib.sha256(found[""]).hexdigest() == manifest["output_sha256"]
        return variant
    assert [(p["path"], p["sha256"]) for p in manifest["parts"]] == [
        (name, hashlib.sha256(data).hexdigest()) for name, data in sorted(found.items()) if name.startswith("part-")
    ]
    assert all(manifest["mark"] in part["path"] for part in manifest["parts"])
    return variant


def list_left(place: Place) -> list[str]:
    """Return what is there beside the output: of jobs that were abandoned only how they ended may be left."""
    fixed = ("", ".manifest.json", "_pairlift/manifest.json")
    return [
        name
        for name in place.read()
        if name not in fixed and not name.startswith("part-") and not name.endswith("/verdict.json")
    ]


@everywhere
def test_a_process_that_wakes_up_when_its_twin_has_ended_the_job_and_the_input_is_another_changes_nothing(
    place: Place, stop: str
) -> None:
    rows = {"fp32": score_apart(place.source, "fp32")}
    with suspended(place, "fp32", stop) as first:
        assert score_stub(str(place.source), place.output, "fp32") == 0
        before = place.read()
        assert check_whole(place, rows) == "fp32"
        write_input(place.source, "cow")
        code, said = go_on(first)
    assert code in (0, 3, 7), said
    assert code != 3 or "changed while it was read" in said
    assert code != 7 or "another process" in said
    committed = {name: data for name, data in before.items() if "job" not in name}
    assert {name: data for name, data in place.read().items() if "job" not in name} == committed
    assert check_whole(place, rows) == "fp32"
    assert list_left(place) == []
    # The next job is another one, says so, and takes the place of the whole output when it is told to.
    assert score_stub(str(place.source), place.output, "fp32") == 7
    assert score_stub(str(place.source), place.output, "fp32", force=True) == 0
    assert check_whole(place, {"fp32": score_apart(place.source, "fp32")}) == "fp32"
    assert list_left(place) == [] and not [name for name in place.read() if "job" in name]


@everywhere
def test_a_restart_beside_a_process_that_is_finishing_never_removes_what_is_committed(place: Place, stop: str) -> None:
    rows = {"fp32": score_apart(place.source, "fp32")}
    with suspended(place, "fp32", stop) as first:
        assert score_stub(str(place.source), place.output, "fp32", restart=True) == 0
        before = place.read()
        assert check_whole(place, rows) == "fp32"
        code, said = go_on(first)
    assert code in (0, 7), said
    committed = {name: data for name, data in before.items() if "job" not in name}
    assert {name: data for name, data in place.read().items() if "job" not in name} == committed
    assert check_whole(place, rows) == "fp32"
    assert list_left(place) == []
    assert score_stub(str(place.source), place.output, "fp32") == 0
    assert place.read() | before == before | place.read()


@pytest.mark.parametrize("removed", [False, True], ids=["restart", "rm -rf"])
@everywhere
def test_the_other_variant_in_the_place_of_a_suspended_job_is_never_mixed_with_it(
    place: Place, stop: str, removed: bool
) -> None:
    rows = {variant: score_apart(place.source, variant) for variant in ("fp32", "int8")}
    with suspended(place, "int8", stop) as first:
        if removed:
            place.remove()
        code = score_stub(str(place.source), place.output, "fp32", restart=not removed)
        made = check_whole(place, rows)
        assert code == (0 if made == "fp32" else 7), "it says that it has made what is there, or that another has"
        before = {name: data for name, data in place.read().items() if "job" not in name}
        code, said = go_on(first)
    assert code in ((0,) if made == "int8" else (5, 7)), (made, code, said)
    assert check_whole(place, rows) == made
    assert {name: data for name, data in place.read().items() if "job" not in name} == before
    if (
        not place.whole and ".job/job.json" in place.read()
    ):  # the chunks of one object are kept, for --force to go on with
        assert stop == STOPS["before its job is there"]
    else:
        assert list_left(place) == []
    assert score_stub(str(place.source), place.output, "int8", force=True) == 0
    assert check_whole(place, rows) == "int8"
    assert list_left(place) == []


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("stop", ["before its first part", "after its first part", "after its first receipt"])
def test_what_is_removed_under_two_twins_is_made_whole_by_them_or_by_the_next(place: Place, stop: str) -> None:
    rows = {"fp32": score_apart(place.source, "fp32")}
    with suspended(place, "fp32", STOPS[stop]) as first, suspended(place, "fp32", STOPS[stop]) as second:
        place.remove()
        ends = [go_on(process) for process in (first, second)]
    assert {code for code, _ in ends} <= {0, 5, 7}, ends
    if any(code == 0 for code, _ in ends):
        assert check_whole(place, rows) == "fp32"
    assert score_stub(str(place.source), place.output, "fp32", restart=True) == 0
    assert check_whole(place, rows) == "fp32"
    assert list_left(place) == []


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("other", ["fp32", "int8"])
def test_of_two_processes_that_begin_at_once_each_says_what_it_has_made(place: Place, other: str) -> None:
    rows = {variant: score_apart(place.source, variant) for variant in ("fp32", "int8")}
    begins = STOPS["before its job is there"]
    with suspended(place, "fp32", begins) as first, suspended(place, other, begins) as second:
        for process in (first, second):  # both have seen that nothing is there
            process.send_signal(signal.SIGCONT)
        ends = {"first": go_on(first), "second": go_on(second)}
    made = check_whole(place, rows)
    for variant, (code, said) in zip(("fp32", other), ends.values(), strict=True):
        assert code in ((0,) if variant == made else (7, 8)), (made, ends, said)
    assert list_left(place) == []


@pytest.mark.parametrize("place", ["directory", "prefix"], indirect=True)
def test_a_part_that_a_killed_process_adds_to_a_committed_output_goes_with_the_next_run(place: Place) -> None:
    rows = {variant: score_apart(place.source, variant) for variant in ("fp32", "int8")}
    with suspended(place, "int8", f"before:{CHUNK}", f"after:{CHUNK}") as first:
        assert score_stub(str(place.source), place.output, "fp32", restart=True) == 0
        first.send_signal(signal.SIGCONT)
        if wait(first) == "stopped":  # its part stands among those of the other
            first.kill()
    assert score_stub(str(place.source), place.output, "fp32") == 0
    assert check_whole(place, rows) == "fp32"
