"""A run and its bundle are measured alike, and a temperature goes from the one into the other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import run_pairlift as pairlift
from pairlift import Bundle, Scorer
from pairlift.errors import UsageError
from pairlift_training.calibrate import calibrate_run
from pairlift_training.evaluate import evaluate
from pairlift_training.run import read_run

pytestmark = pytest.mark.keras
LABELS = ("yes", "no")


def write_pairs(path: Path, rows: int) -> Path:
    """Write pairs whose label is in the hypothesis alone, every tenth of them wrong."""
    lines = []
    for i in range(rows):
        truth = LABELS[i % 2]
        label = LABELS[(i + 1) % 2] if i % 10 == 3 else truth
        hypothesis = f"a {'dog' if truth == 'yes' else 'house'} {i % 7}"
        lines.append(json.dumps({"premise": f"the man {i}", "hypothesis": hypothesis, "label": label}) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt the rule, and not its exceptions."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_pairs(folder / "pairs.jsonl", 300)
    done = pairlift(
        "train", data, folder / "run", "--labels", ",".join(LABELS), "--validation", data, "--epochs", 6, "--learning-rate", 5e-3,
        "--sequence-length", 16, "--batch-size", 32, "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_ablations_say_which_text_the_answer_is_in(run: Path) -> None:
    done = pairlift("evaluate", run, run.parent / "pairs.jsonl", "--ablate")
    assert done.returncode == 0, done.stderr
    figures = {
        line.rsplit(maxsplit=1)[0].strip(): float(line.split()[-1])
        for line in done.stdout.splitlines()
        if line.startswith(("only", "swapped"))
    }
    assert list(figures) == ["only hypothesis", "only premise", "swapped"]
    assert figures["only hypothesis"] > 0.85
    assert figures["only premise"] < 0.7


def test_a_temperature_is_stored_in_the_run_and_carried_into_the_bundle(run: Path) -> None:
    data = run.parent / "pairs.jsonl"
    before = evaluate(run, str(data))
    weights = (run / "model.keras").read_bytes()
    done = pairlift("evaluate", run, data, "--calibrate", "--json")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert after["log_loss"] < before.log_loss
    assert after["confusion"] == [list(row) for row in before.confusion]
    record = read_run(run)
    assert record.temperature != 1
    assert record.calibrated_on is not None
    assert record.calibrated_on.rows == 300
    assert (run / "model.keras").read_bytes() == weights
    assert f"Calibrated: logits are divided by {record.temperature:.4g}" in (run / "MODEL_CARD.md").read_text()

    exported = pairlift("export", run, run.parent / "bundle")
    assert exported.returncode == 0, exported.stderr
    bundle = Bundle.open(run.parent / "bundle")
    assert bundle.manifest.temperature == record.temperature
    assert pairlift("verify", run.parent / "bundle").returncode == 0
    of_bundle = evaluate(run.parent / "bundle", str(data))
    assert of_bundle.log_loss == pytest.approx(after["log_loss"], abs=1e-5)
    scorer = Scorer(bundle)
    pairs = [("a dog 1", "the man 5"), ("a house 3", "the man 8")]
    logits = scorer.logits(pairs).astype(np.float64) / record.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scorer.score(pairs), expected, atol=1e-6)
    calibrate_run(run, 1.0, record.calibrated_on)


def test_a_bundle_cannot_be_calibrated(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"premise": "a", "hypothesis": "b", "label": "neutral"}\n')
    with pytest.raises(UsageError, match="--calibrate needs a run, not a bundle; calibrate the run, and export it"):
        evaluate(bundle, str(data), calibrate=True)
