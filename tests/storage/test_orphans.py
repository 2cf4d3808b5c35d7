"""A command that is killed leaves no process, and what it left on the disk goes with the next run."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pairlift.errors import DestinationError, UsageError
from pairlift.jobs import child
from pairlift.jobs.child import ChildError, run_child
from pairlift.storage.leftovers import held_directory, held_file, remove_leftovers
from pairlift.storage.staging import staged_directory, staged_file

WORKER = """
import os, sys, time
from pathlib import Path
from pairlift.jobs.child import serve_parent
from pairlift.errors import UsageError
from test_orphans import Task

def work(task):
    print("what a library prints")
    if task.kind == "wait":
        Path(task.file).write_text(str(os.getpid()))
        time.sleep(300)
    if task.kind == "refuse":
        raise UsageError("this is not possible")
    if task.kind == "bug":
        raise ZeroDivisionError
    if task.kind == "die":
        os.kill(os.getpid(), 9)
    return f"did {len(task.text)}"

sys.exit(serve_parent(Task, work))
"""
PARENT = """
import sys
from pathlib import Path
from pairlift.jobs.child import run_child
from pairlift.storage.staging import staged_directory
from test_orphans import Task

with staged_directory(Path(sys.argv[1]), "mark") as stage:
    (stage / "half").write_text("x")
    run_child("some_worker", Task(kind="wait", file=sys.argv[2]), "the worker", {})
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the worker of these tests is told."""

    format: int = 1
    kind: str
    file: str = ""
    text: str = ""


@pytest.fixture(autouse=True)
def worker(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that children run."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "some_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


def until(happens: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def runs(process: int) -> bool:
    """Whether a process is there, and is not one that only waits to be noticed as dead."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python, and kill it when the block ends."""
    with subprocess.Popen([sys.executable, *map(str, arguments)]) as process:
        try:
            yield process
        finally:
            process.kill()


def leave(script: str, *arguments: object) -> None:
    """Run a script that kills itself."""
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_child_dies_with_its_parent_and_the_next_run_removes_what_they_made(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with started("-c", PARENT, tmp_path / "made", note) as parent:
        until(lambda: note.exists() and note.read_text() != "")
        with staged_directory(tmp_path / "made", "mark") as stage:
            (stage / "mark").write_text("mine")
        (left,) = tmp_path.glob(".made.*.partial")  # of a process that lives
        parent.kill()
        parent.wait()
    until(lambda: not runs(int(note.read_text())), seconds=10)
    assert (left / "half").exists()
    with pytest.raises(DestinationError, match="--force"), staged_directory(tmp_path / "made", "mark"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "pid"]


@pytest.mark.keras
def test_the_process_of_an_export_dies_with_it(tmp_path: Path) -> None:
    from models import save_classifier

    save_classifier(tmp_path / "model.keras")
    names = ("--labels", "entailment,neutral,contradiction", "--fields", "hypothesis,premise")
    command = ("-m", "pairlift", "export", tmp_path / "model.keras", tmp_path / "bundle", *names)
    with started(*command) as export:
        children = Path(f"/proc/{export.pid}/task/{export.pid}/children")
        until(lambda: children.read_text() != "")
        (worker,) = map(int, children.read_text().split())
        assert list(tmp_path.glob(".bundle.*.partial"))
        export.kill()
        export.wait()
    until(lambda: not runs(worker), seconds=20)
    done = subprocess.run([sys.executable, *map(str, command), "--labels", "a,b"], capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_what_a_child_returns_is_its_parents(tmp_path: Path) -> None:
    job = Task(kind="answer", text="x" * 1_000_000)  # more than a pipe holds
    assert run_child("some_worker", job, "the worker", {}) == "did 1000000"


def test_an_error_of_the_childs_is_its_parents() -> None:
    with pytest.raises(UsageError, match=r"^this is not possible$"):
        run_child("some_worker", Task(kind="refuse"), "the worker", {})


def test_a_bug_in_a_child_is_shown_and_is_a_bug(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildError, match=r"^the worker ended with code 9: this is a bug in pairlift") as caught:
        run_child("some_worker", Task(kind="bug"), "the worker", {})
    assert caught.value.exit_code == 9
    said = capfd.readouterr()
    assert "ZeroDivisionError" in said.err
    assert said.out == ""


def test_a_child_that_is_killed_gives_no_answer() -> None:
    with pytest.raises(ChildError, match=r"^the worker was ended by SIGKILL \(out of memory\?\)$"):
        run_child("some_worker", Task(kind="die"), "the worker", {})


def test_a_child_that_never_takes_its_job_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildError, match="the worker ended with code 1"):
        run_child("no_such_worker", Task(kind="answer", text="x" * 1_000_000), "the worker", {})
    assert "No module named no_such_worker" in capfd.readouterr().err


def test_a_child_whose_parent_dies_while_it_sends_the_job_ends() -> None:
    job = (1000).to_bytes(child._LENGTH) + b"{}"
    done = subprocess.run([sys.executable, "-m", "some_worker"], input=job, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"", b"")


def test_what_a_living_process_makes_is_left_to_it(tmp_path: Path) -> None:
    sweep = "import sys; from pathlib import Path; from pairlift.storage.leftovers import remove_leftovers as r; r(Path(sys.argv[1]))"
    path = tmp_path / "made"
    with held_directory(path) as folder, held_file(path) as file, held_directory(path, ".old") as old:
        remove_leftovers(path)
        subprocess.run([sys.executable, "-c", sweep, path], check=True)
        assert all(made.exists() for made in (folder, file, old))


def test_the_partial_file_of_a_killed_process_goes_though_its_child_lives(tmp_path: Path) -> None:
    leave(
        "import os, subprocess, sys\nfrom pathlib import Path\nfrom pairlift.storage.staging import staged_file\n"
        "with staged_file(Path(sys.argv[1])) as stage:\n    child = subprocess.Popen([sys.executable, '-c', 'input()'],\n"
        "        stdin=os.open(sys.argv[2], os.O_RDWR), close_fds=False)\n"
        "    Path(sys.argv[3]).write_text(str(child.pid))\n    os.kill(os.getpid(), 9)",
        tmp_path / "made", fifo(tmp_path / "fifo"), tmp_path / "pid",
    )  # fmt: skip
    process = int((tmp_path / "pid").read_text())
    assert runs(process)
    assert list(tmp_path.glob(".made.*.partial"))
    with staged_file(tmp_path / "made") as stage:
        stage.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "made", "pid"]
    assert runs(process)
    os.kill(process, signal.SIGKILL)


def fifo(path: Path) -> Path:
    """Make a pipe with a name."""
    os.mkfifo(path)
    return path


KILLED = """
import os, sys
from pathlib import Path
from pairlift.storage.staging import staged_directory

rename, left = Path.rename, int(sys.argv[2])
def counted(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    return rename(self, target)
Path.rename = counted
with staged_directory(Path(sys.argv[1]), "mark", force=True) as stage:
    (stage / "mark").write_text("new")
"""


@pytest.mark.parametrize(("renames", "kept"), [(0, "former"), (1, "former"), (2, "new")])
def test_one_or_the_other_is_there_wherever_a_replacement_is_killed(tmp_path: Path, renames: int, kept: str) -> None:
    path = tmp_path / "made"
    path.mkdir()
    (path / "mark").write_text("former")
    leave(KILLED, path, renames)
    assert path.exists() == (renames != 1)
    assert len(list(tmp_path.iterdir())) > 1
    with pytest.raises(DestinationError, match="--force"), staged_directory(path, "mark"):
        pass
    assert (path / "mark").read_text() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_what_only_looks_like_a_leftover_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "made", tmp_path / "other"
    for name in (
        ".made.abcdefg.partial",
        ".made.ABCDEFGH.partial",
        "made.abcdefgh.partial",
        ".made.x.abcdefgh.partial",
    ):
        (tmp_path / name).mkdir()
    other.mkdir()
    (other / "precious").write_text("x")
    (tmp_path / ".made.abcdefgh.partial").symlink_to(other)
    (tmp_path / ".made.abcdefgi.old").write_text("no directory")
    fifo(tmp_path / ".made.abcdefgj.partial")
    before = sorted(tmp_path.rglob("*"))
    remove_leftovers(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_belongs_to_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = tmp_path / ".made.abcdefgh.partial"
    leftover.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: leftover.stat().st_uid + 1)
    remove_leftovers(tmp_path / "made")
    assert leftover.exists()
    monkeypatch.undo()
    remove_leftovers(tmp_path / "made")
    assert not leftover.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_without_locks_nothing_is_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_lock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    leftover = tmp_path / ".made.abcdefgh.partial"
    leftover.mkdir()
    for text in ("one", "two"):
        with staged_directory(tmp_path / "made", "mark", force=True) as stage:
            (stage / "mark").write_text(text)
    assert (tmp_path / "made/mark").read_text() == "two"
    assert sorted(tmp_path.iterdir()) == [leftover, tmp_path / "made"]


def test_what_is_taken_away_before_it_is_held_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, taken = fcntl.flock, []

    def take_first(descriptor: int, operation: int) -> None:
        if not taken:
            (made,) = tmp_path.iterdir()
            made.rmdir()
            taken.append(made)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take_first)
    with held_directory(tmp_path / "made") as made:
        assert list(tmp_path.iterdir()) == [made] != taken
    assert list(tmp_path.iterdir()) == []


def test_a_replacement_that_fails_half_way_keeps_the_former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "made", Path.rename
    path.mkdir()
    (path / "mark").write_text("former")

    def fail_for_the_new(self: Path, target: Path) -> Path:
        if self.suffix == ".partial" and target == path:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(KeyboardInterrupt), staged_directory(path, "mark", force=True) as stage:
        (stage / "mark").write_text("new")
    assert (path / "mark").read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [".checkpoint.npz.partial", ".job.json.partial", "checkpoint.tmp"])
def test_a_trainings_job_goes_on_beside_a_file_that_was_not_finished(tmp_path: Path, name: str) -> None:
    from pairlift_training.job_folder import TrainingIdentity, open_job
    from pairlift_training.recipe import load_recipe

    identity = TrainingIdentity(
        recipe=load_recipe("sample", {}), labels=("a", "b"), fields=("x", "y"), data={}, tokenizer="0", backend="jax", versions={}
    )  # fmt: skip
    with open_job(tmp_path / "run.job", identity, restart=False) as folder:
        (folder / "checkpoint.npz").write_bytes(b"so far")
        (folder / name).write_bytes(b"half")
    with open_job(tmp_path / "run.job", identity, restart=False) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.npz", "job.json", "lock"]
