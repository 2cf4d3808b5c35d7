"""A training ends the same however often it was killed, stops when it should, and keeps what it should."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import Run
from pairlift_training.checkpoint import read_checkpoint
from pairlift_training.history import Point
from pairlift_training.job_folder import job_path

pytestmark = pytest.mark.keras

WORDS = {"yes": "man", "no": "dog", "maybe": "house"}
RECIPE = """
layers = 1
width = 8
heads = 2
sequence_length = 16
batch_size = 8
epochs = 4
learning_rate = 3e-3
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pairs that can be learnt, a recipe beside them."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return write_pairs(tmp_path / "pairs.jsonl", 100)


def write_pairs(path: Path, rows: int, noise: int = 0) -> Path:
    """Write pairs whose label follows from the premise, or, with noise, from nothing."""
    draw = random.Random(noise)
    lines = []
    for i in range(rows):
        label = list(WORDS)[i % 3]
        word = WORDS[label] if not noise else draw.choice(list(WORDS.values()))
        lines.append({"premise": f"the {word} is red {i % 7}", "hypothesis": "a boy runs", "label": label})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read_history(path: Path) -> list[Point]:
    """Return the points of a run's history."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = [
            {name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)
        ]
    return [Point(**row) for row in rows]


def arguments(data: Path, run: Path, *more: object) -> list[str]:
    """Return the command that trains on data beside a recipe."""
    start = ("train", data, run, "--validation", data, "--recipe", data.parent / "tiny.toml")
    return [str(a) for a in (*start, *more)]


def read_weights(run: Path) -> list[Any]:
    model = keras.models.load_model(run / "model.keras")
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pairlift", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def position(run: Path) -> tuple[int, int]:
    """Return the epoch and update of a job's checkpoint."""
    found = read_checkpoint(job_path(run))
    return (found.progress.epoch, found.progress.update) if found else (-1, -1)


def test_a_training_killed_at_three_random_points_ends_with_the_same_bits(pairlift: Run, data: Path) -> None:
    whole, killed = data.parent / "whole", data.parent / "killed"
    options = ("--checkpoint-steps", 3, "--keep", "best", "--epochs", 60)
    assert pairlift(*arguments(data, whole, *options)).returncode == 0
    draw, reached = random.Random(), [(-1, -1)]
    for _ in range(3):
        process = start(arguments(data, killed, *options))
        wait_for_progress(process, killed, reached[-1])
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.communicate()
        reached.append(position(killed))
    assert not killed.exists(), "it was killed each time before it was done"
    assert reached == sorted(set(reached)), "each went on where the one before was killed"
    done = pairlift(*arguments(data, killed, *options))
    assert done.returncode == 0, done.stderr
    assert "continuing in epoch" in done.stderr
    for expected, found in zip(read_weights(whole), read_weights(killed), strict=True):
        assert np.array_equal(expected, found)
    before, after = (
        [(p.update, p.loss, p.accuracy, p.validation_loss) for p in read_history(run / "history.csv")]
        for run in (whole, killed)
    )
    assert before == after
    assert not job_path(killed).exists()


def wait_for_progress(process: subprocess.Popen[str], run: Path, last: tuple[int, int]) -> None:
    """Wait until a job's checkpoint is further on than it was."""
    until = time.monotonic() + 120
    while position(run) <= last and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(pairlift: Run, data: Path, number: signal.Signals) -> None:
    run = data.parent / "run"
    command = arguments(data, run, "--epochs", 3000, "--checkpoint-steps", 5, "--schedule", "constant")
    process = start(command)
    wait_for_progress(process, run, (0, 0))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}; the checkpoint is kept; run the same command to continue" in errors
    assert not run.exists()
    reached = position(run)
    changed = pairlift(*command, "--learning-rate", 1e-3)
    assert changed.returncode == 8
    assert "changed since the training began: learning rate (was 0.003, is 0.001)" in changed.stderr
    assert position(run) == reached
    process = start(command)
    wait_for_progress(process, run, reached)
    again = start(command)
    assert "another process is at work on this run" in again.communicate(timeout=60)[1]
    assert again.returncode == 7
    process.kill()
    process.communicate()
    over = pairlift(*arguments(data, run, "--epochs", 1, "--restart"))
    assert over.returncode == 0, over.stderr
    assert not job_path(run).exists()


def test_changed_data_are_noticed_and_a_spoilt_checkpoint_is_not_trusted(pairlift: Run, data: Path) -> None:
    run = data.parent / "run"
    command = arguments(data, run, "--epochs", 3000, "--checkpoint-steps", 5)
    process = start(command)
    wait_for_progress(process, run, (-1, -1))
    process.kill()
    process.communicate()
    text = data.read_text()
    data.write_text(text.replace("red 1", "red 2"))
    changed = pairlift(*command)
    assert changed.returncode == 8
    assert "data (was train " in changed.stderr
    data.write_text(text)
    checkpoint = job_path(run) / "checkpoint.npz"
    spoilt = bytearray(checkpoint.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    checkpoint.write_bytes(spoilt)
    refused = pairlift(*command)
    assert refused.returncode == 8
    assert "checkpoint.npz: damaged; start over with --restart" in refused.stderr


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_last_good_checkpoint(pairlift: Run, data: Path) -> None:
    run = data.parent / "run"
    # The rate goes up to what no weight can bear; the first epoch ends well before.
    done = pairlift(
        *arguments(
            data,
            run,
            "--epochs",
            40,
            "--learning-rate",
            1e38,
            "--warmup",
            0.99,
            "--optimizer",
            "adam",
            "--weight-decay",
            0,
            "--checkpoint-steps",
            1,
        )
    )
    assert done.returncode == 10, done.stderr
    assert "is no longer finite in epoch 1 at update" in done.stderr
    assert "the last good checkpoint, epoch 1 after" in done.stderr
    assert "lower --learning-rate (it was 1e+38) or set --clip-norm, with --restart" in done.stderr
    assert not run.exists()
    kept = read_checkpoint(job_path(run))
    assert kept is not None
    assert all(np.isfinite(values).all() for values in kept.arrays.values())


def test_a_loss_that_is_no_number_before_any_checkpoint_leaves_nothing(pairlift: Run, data: Path) -> None:
    done = pairlift(*arguments(data, data.parent / "run", "--learning-rate", 1e38, "--schedule", "constant"))
    assert done.returncode == 10, done.stderr
    assert "there was no checkpoint yet" in done.stderr
    assert sorted(path.name for path in data.parent.iterdir()) == ["pairs.jsonl", "tiny.toml"]


def test_it_stops_early_and_keeps_the_best_epoch(pairlift: Run, data: Path) -> None:
    run, noise = data.parent / "run", write_pairs(data.parent / "noise.jsonl", 60, noise=1)
    options = ("--epochs", 30, "--patience", 2, "--keep", "best", "--schedule", "constant")
    done = pairlift("train", data, run, "--validation", noise, "--recipe", data.parent / "tiny.toml", *options)
    assert done.returncode == 0, done.stderr
    assert "stopped early, 2 without a better one" in done.stderr
    found = json.loads((run / "run.json").read_text())
    ends = [p for p in read_history(run / "history.csv") if p.validation_accuracy is not None]
    best = max(ends, key=lambda p: (p.validation_accuracy or 0, -(p.validation_loss or 0)))
    assert (found["epochs"], found["kept_epoch"]) == (len(ends), best.epoch)
    assert len(ends) == best.epoch + 2 < 30
    assert found["metrics"]["validation"]["accuracy"] == best.validation_accuracy
    assert f"kept epoch {best.epoch:g} of {len(ends)}" in done.stdout
    measured = json.loads(pairlift("evaluate", run, noise, "--json").stdout)
    assert measured["accuracy"] == best.validation_accuracy


def test_bfloat16_trains_a_copy_and_what_is_saved_is_float32(pairlift: Run, data: Path) -> None:
    run = data.parent / "run"
    done = pairlift(*arguments(data, run, "--precision", "mixed_bfloat16", "--epochs", 20))
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "run.json").read_text())
    assert (found["precision"], found["metrics"]["validation"]["accuracy"]) == ("mixed_bfloat16", 1.0)
    model = keras.models.load_model(run / "model.keras")
    assert not [layer for layer in model._flatten_layers() if "bfloat16" in layer.dtype_policy.name]
    measured = json.loads(pairlift("evaluate", run, data, "--json").stdout)
    assert measured["log_loss"] == pytest.approx(found["metrics"]["validation"]["log_loss"], abs=1e-5)
    other = data.parent / "other"
    assert pairlift(*arguments(data, other, "--precision", "float32", "--epochs", 20)).returncode == 0
    pairs = zip(read_weights(run), read_weights(other), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs), "bfloat16 leaves its mark"


@pytest.mark.slow
def test_two_devices_train_as_one_does(pairlift: Run, data: Path) -> None:
    one, two = data.parent / "one", data.parent / "two"
    options = ("--epochs", 1, "--optimizer", "adam", "--weight-decay", 0)
    (data.parent / "tiny.toml").write_text(RECIPE + "dropout = 0.0\n")
    assert pairlift(*arguments(data, one, *options)).returncode == 0
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = pairlift(*arguments(data, two, *options), env=flags)
    assert done.returncode == 0, done.stderr
    found = [json.loads((run / "run.json").read_text())["devices"] for run in (one, two)]
    assert found == [1, 2]
    losses = [[p.loss for p in read_history(run / "history.csv")] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    odd = pairlift(*arguments(data, data.parent / "odd", *options, "--batch-size", 5), env=flags)
    assert odd.returncode == 0, odd.stderr
    assert "1 of 2 devices are used: 5 rows cannot be divided equally among all" in odd.stderr


def test_a_directory_that_is_no_jobs_is_left_alone(pairlift: Run, data: Path) -> None:
    job_path(data.parent / "run").mkdir()
    (job_path(data.parent / "run") / "precious").write_text("x")
    done = pairlift(*arguments(data, data.parent / "run"))
    assert done.returncode == 7
    assert "exists but is not a job's directory" in done.stderr
    assert (job_path(data.parent / "run") / "precious").read_text() == "x"


def test_the_card_and_the_history_say_what_was_done(pairlift: Run, data: Path) -> None:
    run = data.parent / "run"
    done = pairlift(*arguments(data, run, "--clip-norm", 0.5, "--accumulate", 2))
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "run.json").read_text())
    assert (found["recipe"]["clip_norm"], found["recipe"]["accumulate"]) == (0.5, 2)
    points = read_history(run / "history.csv")
    updates = 4 * 13
    assert [p.update for p in points] == list(range(1, updates + 1))
    assert [p.update for p in points if p.validation_loss is not None] == [13, 26, 39, 52]
    assert points[0].learning_rate == 0
    assert max(p.learning_rate for p in points) == 3e-3
    card = (run / "MODEL_CARD.md").read_text()
    accuracy = found["metrics"]["validation"]["accuracy"]
    assert f"| validation | 100 | {accuracy:.4f} |" in card
    assert "| `clip_norm` | `0.5` |" in card
    for picture in ("learning_curve", "learning_rate", "confusion_matrix"):
        assert f"({picture}.png)" in card
        assert (run / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
