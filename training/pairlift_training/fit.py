"""Fitting: a recipe, labelled pairs, and a run directory at the end."""

from __future__ import annotations

import csv
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pairlift import record
from pairlift.digest import sha256_file
from pairlift.errors import AgreementError
from pairlift.metrics import Metrics, measure
from pairlift.version import read_versions
from pairlift_training.batches import Encoded
from pairlift_training.classifier import build_classifier, read_encoder
from pairlift_training.data import Rows, hold_out
from pairlift_training.predict import predict_probabilities
from pairlift_training.recipe import Recipe
from pairlift_training.run import HISTORY, MODEL, RUN, Run
from tqdm import tqdm

HELD_OUT_PAIRS = 256
PACKAGES = ("keras", "keras-hub", "jax", "tensorflow", "torch", "numpy", "tokenizers")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be trained: the recipe, label names and fields in model order, the data by part, vocabulary files."""

    recipe: Recipe
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    train: Rows
    validation: Rows
    test: Rows | None
    vocabulary: Path | None = None
    merges: Path | None = None
    quiet: bool = False


def train(job: Job, directory: Path) -> Run:
    """Train, and write model.keras, history.csv and run.json into a directory.

    Raises:
        AgreementError: The loss is no longer a number.
        InputError, UsageError: As `build_classifier`.
    """
    recipe = job.recipe
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    classifier = build_classifier(recipe, len(job.labels), job.train, job.vocabulary, job.merges)
    encoder = read_encoder(classifier)
    network = keras.Model(classifier.input, classifier.output)
    feed = Feed(Encoded(encoder, job.train.pairs), _indices(job.train, job.labels), recipe)
    check = Feed(Encoded(encoder, job.validation.pairs), _indices(job.validation, job.labels), recipe, shuffle=False)
    network.compile(
        optimizer=_optimizer(recipe, len(feed)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    watch = _Watch(len(feed), job.quiet)
    network.fit(feed, validation_data=check, epochs=recipe.epochs, callbacks=[watch], shuffle=False, verbose=0)
    classifier.save(directory / MODEL)
    _write_history(directory / HISTORY, watch.epochs)
    parts = {"train": job.train, "validation": job.validation} | ({"test": job.test} if job.test else {})
    run = Run(
        architecture=type(classifier).__name__,
        labels=job.labels,
        fields=job.fields,
        sequence_length=recipe.sequence_length,
        parameters=classifier.count_params(),
        recipe=recipe,
        backend=keras.backend.backend(),
        data={name: rows.describe() for name, rows in parts.items()},
        metrics={name: _evaluate(classifier, rows, job.labels) for name, rows in parts.items() if name != "train"},
        held_out=hold_out(job.validation, HELD_OUT_PAIRS),
        versions=read_versions(PACKAGES),
        model_sha256=sha256_file(directory / MODEL),
    )
    (directory / RUN).write_bytes(record.dump(run))
    return run


class Feed(keras.utils.PyDataset):
    """Batches for Keras: (inputs, labels, weights), each full; filled rows weigh nothing."""

    def __init__(self, data: Encoded, truth: NDArray[np.int64], recipe: Recipe, shuffle: bool = True) -> None:
        super().__init__()
        self._data, self._truth, self._size = data, truth, recipe.batch_size
        self._random = np.random.default_rng(recipe.seed)
        self._shuffle = shuffle
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order: rows within their length, then the batches."""
        rows = np.arange(len(self._data))
        batches = list(self._data.batches(self._size, self._random.permutation(rows) if self._shuffle else rows))
        order = self._random.permutation(len(batches)) if self._shuffle else np.arange(len(batches))
        self._batches = [batches[i] for i in order]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, i: int) -> tuple[dict[str, NDArray[np.int32]], NDArray[np.int64], NDArray[np.float32]]:
        rows = self._batches[i]
        weights = np.zeros(self._size, np.float32)
        weights[: len(rows)] = 1
        rows = np.resize(rows, self._size)
        return self._data.pack(rows).feeds(), self._truth[rows], weights


@keras.saving.register_keras_serializable("pairlift")
class TriangularSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 up to the highest rate over the warm-up, then linearly down to 0."""

    def __init__(self, rate: float, warmup: int, total: int) -> None:
        self.rate, self.warmup, self.total = rate, warmup, total

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        step = keras.ops.cast(step, "float32")
        up = step / max(1, self.warmup)
        down = (self.total - step) / max(1, self.total - self.warmup)
        return self.rate * keras.ops.maximum(0.0, keras.ops.minimum(up, down) if self.warmup else down)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"rate": self.rate, "warmup": self.warmup, "total": self.total}


class _Watch(keras.callbacks.Callback):
    def __init__(self, steps: int, quiet: bool) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._steps, self._quiet = steps, quiet
        self._bar: Any = None
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._start = time.monotonic()
        self._bar = tqdm(
            total=self._steps,
            desc=f"epoch {epoch + 1}",
            unit=" steps",
            leave=False,
            disable=True if self._quiet else None,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.update()
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            raise AgreementError(
                f"the loss became {loss} at step {batch + 1}; lower the learning rate with --learning-rate"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.close()
        values = {name: float(value) for name, value in (logs or {}).items()}
        self.epochs.append({"epoch": epoch + 1, **values, "seconds": round(time.monotonic() - self._start, 2)})
        if not self._quiet:
            tqdm.write(
                f"epoch {epoch + 1}: loss {values['loss']:.4f}, accuracy {values['accuracy']:.4f}, validation loss "
                f"{values['val_loss']:.4f}, accuracy {values['val_accuracy']:.4f}, {self.epochs[-1]['seconds']:.0f} s",
                file=sys.stderr,
            )


def _optimizer(recipe: Recipe, steps: int) -> Any:
    total = steps * recipe.epochs
    rate: Any = recipe.learning_rate
    if recipe.schedule == "triangular":
        rate = TriangularSchedule(rate, int(total * recipe.warmup), total)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _indices(rows: Rows, labels: tuple[str, ...]) -> NDArray[np.int64]:
    places = {label: i for i, label in enumerate(labels)}
    return np.array([places[label] for label in rows.labels], np.int64)


def _evaluate(classifier: Any, rows: Rows, labels: tuple[str, ...]) -> Metrics:
    return measure(predict_probabilities(classifier, rows.pairs), _indices(rows, labels), labels)


def _write_history(path: Path, epochs: list[dict[str, float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(epochs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(epochs)
