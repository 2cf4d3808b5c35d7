"""Each example runs as it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, SMALL_BUNDLE, Run

EXAMPLES = ROOT / "examples"


def run(*command: object, **environment: str) -> str:
    """Run a command and return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"PATH": path} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name not in text] == []


def test_pairs_are_scored_in_python() -> None:
    lines = run(sys.executable, EXAMPLES / "score_in_python.py", SMALL_BUNDLE).splitlines()
    assert lines[0] == "labels: entailment, neutral, contradiction"
    assert lines[1] == lines[2]  # a mapping, and a tuple in the bundle's order
    assert lines[3].startswith("not scored: not_text: hypothesis")


def test_the_function_answers_an_event() -> None:
    log, printed = run(sys.executable, EXAMPLES / "lambda_event.py", PAIRLIFT_BUNDLE=str(SMALL_BUNDLE)).split("\n", 1)
    answer = json.loads(printed)
    assert json.loads(log)["rows"] == 2  # as the function's log in CloudWatch
    assert answer["results"][0]["prediction"] in answer["labels"]
    assert answer["results"][1]["error"]["reason"] == "not_text"


def test_the_tasks_of_an_array_make_one_output(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "the dog", "hypothesis": "a cat"}\n' * 40)
    for task in ("3", "1", "4", "2"):
        share = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}
        run("sh", EXAMPLES / "slurm_array.sh", SMALL_BUNDLE, tmp_path / "in.jsonl", f"{tmp_path}/out/", **share)
    parts = [path.read_text().splitlines() for path in (tmp_path / "out").glob("part-*")]
    assert sum(map(len, parts)) == 40
    assert (tmp_path / "out/_pairlift/manifest.json").is_file()


@pytest.mark.slow
def test_a_model_of_ones_own_is_exported(tmp_path: Path, pairlift: Run) -> None:
    import models

    (tmp_path / "vocabulary.txt").write_text("\n".join(models.bert_vocabulary()))
    model, bundle = tmp_path / "model.keras", tmp_path / "bundle"
    run(sys.executable, EXAMPLES / "own_model.py", tmp_path / "vocabulary.txt", model)
    named = ("--labels", "entailment,neutral,contradiction", "--fields", "hypothesis,premise")
    done = pairlift("export", model, bundle, *named, "--no-int8")
    assert done.returncode == 0, done.stderr
    assert pairlift("verify", bundle).returncode == 0


@pytest.mark.slow
def test_a_pipeline_of_ray_data_has_scores(tmp_path: Path) -> None:
    pairs = {"premise": ["the dog runs", "a cat"], "hypothesis": ["a dog", None]}
    pq.write_table(pa.table(pairs), tmp_path / "pairs.parquet")
    scored = tmp_path / "scored"
    run(sys.executable, EXAMPLES / "ray_pipeline.py", SMALL_BUNDLE, tmp_path / "pairs.parquet", scored)
    rows = [row for path in sorted(scored.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["error"] is None for row in rows] == [True, False]
