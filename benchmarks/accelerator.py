"""Training on an accelerator: pairs a second, and how much of what the chip multiplies.

    python benchmarks/accelerator.py OUT [--small]

Trains BERT tiny's shape and RoBERTa base's from random weights on SNLI's training pairs (PAIRLIFT_DATA or ../shared/data), under JAX
with TensorFlow kept out, in bfloat16 where there is an accelerator, through the same code as `pairlift train`. The rate is that of the
second half of the run, when everything is compiled. The chip's rate is measured with large matrices of the same type. The runs stay
in OUT: `pairlift export OUT/roberta_base BUNDLE` proves one of them elsewhere. `--small` is a rehearsal on a CPU, with few pairs and
few layers.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # type: ignore[assignment]

from models import DATA
from pairlift_training.batches import Encoded
from pairlift_training.classifier import load_classifier, read_encoder
from pairlift_training.data import read_data, split_rows
from pairlift_training.fit import Job, train
from pairlift_training.recipe import Recipe
from pairlift_training.run import HISTORY, MODEL
from report import print_table, save

FIELDS = ("hypothesis", "premise")
LABELS = ("entailment", "neutral", "contradiction")
VOCABULARY = DATA / "vocab"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A model to train, and the files that its tokenizer is made of."""

    recipe: Recipe
    vocabulary: Path
    merges: Path | None = None


def make_trials(small: bool) -> list[Trial]:
    """Return the two models; in a rehearsal, small ones."""
    common: dict[str, Any] = {"epochs": 1, "schedule": "triangular", "warmup": 0.1, "sequence_length": 128}
    layers, width, heads = (2, 64, 2) if small else (12, 768, 12)
    return [
        Trial(
            recipe=Recipe(name="bert_tiny", batch_size=32 if small else 256, learning_rate=5e-4, **common),
            vocabulary=VOCABULARY / "bert_uncased_vocab.txt",
        ),
        Trial(
            recipe=Recipe(
                name="roberta_base", family="roberta", layers=layers, width=width, heads=heads,
                batch_size=16 if small else 64, learning_rate=1e-4, **common,
            ),
            vocabulary=VOCABULARY / "roberta_vocab.json",
            merges=VOCABULARY / "roberta_merges.txt",
        ),
    ]  # fmt: skip


def measure_matrices(small: bool) -> float:
    """Return the operations a second of a product of large matrices, bfloat16 on an accelerator and float32 on a CPU."""
    import jax

    size = 1024 if small else 8192
    kind = jax.numpy.float32 if jax.default_backend() == "cpu" else jax.numpy.bfloat16
    a = jax.random.normal(jax.random.key(0), (size, size), kind)
    multiply = jax.jit(lambda x: x @ a)
    b = multiply(a).block_until_ready()
    repeats, started = 20, time.perf_counter()
    for _ in range(repeats):
        b = multiply(b * 1e-3)
    b.block_until_ready()
    return float(repeats * 2 * size**3 / (time.perf_counter() - started))


def count_operations(recipe: Recipe, data: Encoded) -> float:
    """Return the operations that a pair takes on average, forward and twice as much backward, padding included."""
    widths = data.widths[data.bucket].astype(float)
    of_token = recipe.layers * (24 * recipe.width**2 + 4 * widths * recipe.width)
    return float(3 * (widths * of_token).mean())


def measure_rate(history: Path, rows: int) -> float:
    """Return the pairs a second between the middle of a run and its end."""
    with history.open(newline="") as file:
        points = list(csv.DictReader(file))
    middle = points[len(points) // 2]
    updates = int(points[-1]["update"])
    share = (updates - int(middle["update"])) / updates
    return rows * share / (float(points[-1]["seconds"]) - float(middle["seconds"]))


def main(out: str, *options: str) -> None:
    """Train both, print and save."""
    import jax

    small = "--small" in options
    rows = read_data(str(DATA / "snli/train.jsonl"), FIELDS)
    if small:
        rows = dataclasses.replace(rows, pairs=rows.pairs[:2000], labels=rows.labels[:2000])
    trained, held = split_rows(rows, 1, 0.05)
    chip = measure_matrices(small)
    results = []
    for trial in make_trials(small):
        path = Path(out) / trial.recipe.name
        path.parent.mkdir(parents=True, exist_ok=True)
        job = Job(
            recipe=trial.recipe, labels=LABELS, fields=FIELDS, train=trained, validation=held, test=None,
            vocabulary=trial.vocabulary, merges=trial.merges, restart=True, force=True, quiet=True,
        )  # fmt: skip
        run = train(job, path)
        rate = measure_rate(path / HISTORY, len(trained.pairs))
        data = Encoded(read_encoder(load_classifier(path / MODEL)), trained.pairs)
        share = rate * count_operations(trial.recipe, data) / chip
        results.append({
            "name": trial.recipe.name, "parameters": run.parameters, "precision": run.precision, "devices": run.devices,
            "batch": trial.recipe.batch_size, "pairs_per_second": round(rate, 1), "share_of_chip": round(share, 4),
        })  # fmt: skip
    device = str(jax.devices()[0].device_kind)
    print_table(
        ("model", "parameters", "precision", "batch", "pairs/s", "of the matrix rate"),
        [(r["name"], f"{r['parameters']:,}", r["precision"], r["batch"], r["pairs_per_second"], f"{r['share_of_chip']:.1%}") for r in results],
    )  # fmt: skip
    print(f"{device}: {chip / 1e12:.2f} TFLOP/s in matrices")
    if not small:
        save("accelerator", {"device": device, "matrix_flops": chip, "models": results})


if __name__ == "__main__":
    main(*sys.argv[1:])
