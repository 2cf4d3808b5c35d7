"""Plain processes share a job: each is told its number and how many there are, and all of it is done by whoever is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bucket import Bucket, bucket, moto_port
from conftest import ROOT, SMALL_BUNDLE, Run, score_small
from pairlift import Scorer
from pairlift.errors import UsageError
from pairlift.jobs.sharing import Share, find_share, parse_share

__all__ = ["bucket", "moto_port"]
ROWS = 400

SCHEDULERS = {
    "cloud run": {"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "8"},
    "aws batch": {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "8"},
    "slurm": {
        "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_STEP": "1", "SLURM_ARRAY_TASK_COUNT": "8",
    },
    "slurm from 1": {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"},
    "slurm in steps": {
        "SLURM_ARRAY_TASK_ID": "18", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "4", "SLURM_ARRAY_TASK_COUNT": "8",
    },
    "kubernetes": {"JOB_COMPLETION_INDEX": "2", "PAIRLIFT_TASKS": "8"},
}  # fmt: skip


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """JSON lines, every eleventh of them broken."""
    lines = [
        "{broken" if i % 11 == 5 else json.dumps({"id": i, "premise": f"the dog {i}", "hypothesis": "a cat"})
        for i in range(ROWS)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    return tmp_path / "in.jsonl"


def read_parts(folder: Path) -> bytes:
    """Return the parts of a directory, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*")))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_schedulers_variables_say_the_share(scheduler: str) -> None:
    assert find_share({"HOME": "/", **SCHEDULERS[scheduler]}) == Share(2, 8)


def test_without_a_count_there_is_no_share() -> None:
    assert find_share({"JOB_COMPLETION_INDEX": "2"}) is None
    assert find_share({}) is None


@pytest.mark.parametrize("index", ["8", "-1", "x"])
def test_variables_that_contradict_each_other_are_named(index: str) -> None:
    with pytest.raises(
        UsageError, match=rf"CLOUD_RUN_TASK_INDEX={index} and CLOUD_RUN_TASK_COUNT=8: expected an index below"
    ):
        find_share({"CLOUD_RUN_TASK_INDEX": index, "CLOUD_RUN_TASK_COUNT": "8"})


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/", "a/b", "1/0"])
def test_a_task_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected I/N with I from 1 to N, such as 3/8 for the third of eight"):
        parse_share(text)


@pytest.mark.parametrize("kind", ["file", "directory", "object", "prefix"])
def test_a_task_alone_does_all_of_the_job(
    scorer: Scorer, pairs: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    whole = tmp_path / "whole.jsonl"
    score_small(scorer, pairs, whole)
    if kind in ("object", "prefix"):
        there: Bucket = request.getfixturevalue("bucket")
        output = there.url("out/" if kind == "prefix" else "out.jsonl")
    else:
        output = f"{tmp_path}/out/" if kind == "directory" else f"{tmp_path}/out.jsonl"
    outcome = score_small(scorer, pairs, output, engine=Share(2, 5).run)
    assert outcome.totals.rows == ROWS
    if kind in ("object", "prefix"):
        found = b"".join(there.get(key) for key in there.list_keys() if "part-" in key or key == "out.jsonl")
        assert not [key for key in there.list_keys() if "job" in key]
    else:
        found = read_parts(tmp_path / "out") if kind == "directory" else Path(output).read_bytes()
    assert found == whole.read_bytes()


def test_processes_that_share_a_job_make_the_local_bytes_and_all_say_0(
    scorer: Scorer, pairs: Path, tmp_path: Path
) -> None:
    score_small(scorer, pairs, tmp_path / "whole.jsonl")
    script = (
        "import sys; from pairlift import Scorer; from conftest import score_small; from pairlift.jobs.sharing import Share; "
        f"print(score_small(Scorer.open({str(SMALL_BUNDLE)!r}), sys.argv[1], sys.argv[2], "
        "engine=Share(int(sys.argv[3]), 3).run).totals.rows)"
    )
    commands = [[sys.executable, "-c", script, str(pairs), f"{tmp_path}/out/", str(i)] for i in range(3)]
    environment = {"PYTHONPATH": str(ROOT / "tests"), "PATH": "", "ORT_DISABLE_TELEMETRY": "1"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for command in commands]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said == [b"%d\n" % ROWS] * 3
    assert read_parts(tmp_path / "out") == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(p.name for p in (tmp_path / "out/_pairlift").iterdir() if not p.name.startswith("rejects")) == [
        "manifest.json"
    ]


def test_the_command_takes_its_share_and_accepts_rejects(pairlift: Run, pairs: Path, tmp_path: Path) -> None:
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/out/", "--task", "2/3", "--accept-rejects")
    assert (done.returncode, done.stderr.splitlines()[0].startswith("364 rows scored, 36 rejected (bad_json 36)")) == (
        0,
        True,
    )
    again = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/out/", "--task", "1/3")
    assert (again.returncode, "(by an earlier run; nothing to do)" in again.stderr) == (1, True)
    over = pairlift(
        "score", SMALL_BUNDLE, pairs, f"{tmp_path}/b/", "--task", "1/3", "--accept-rejects", "--max-rejects", "5"
    )
    assert over.returncode == 6


def test_a_task_is_for_the_local_engine(pairlift: Run, pairs: Path, tmp_path: Path) -> None:
    done = pairlift("score", SMALL_BUNDLE, pairs, f"{tmp_path}/out/", "--task", "1/2", "--engine", "ray")
    assert done.returncode == 2
    assert done.stderr == "error: --task only applies to the local engine; Ray shares a job by itself\n"
