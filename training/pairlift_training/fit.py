"""Fitting: trains a recipe on labelled pairs, and writes the run directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pairlift import record
from pairlift.digest import sha256_bytes, sha256_file
from pairlift.model.metrics import Metrics, measure
from pairlift.storage.staging import staged_directory
from pairlift.version import read_versions
from pairlift_training.batches import Encoded
from pairlift_training.cache import Cache
from pairlift_training.card import format_card
from pairlift_training.checkpoint import Progress, read_best
from pairlift_training.choices import CHECKPOINT_STEPS
from pairlift_training.classifier import build_classifier, has_logits, read_encoder
from pairlift_training.data import Rows, hold_out
from pairlift_training.devices import choose_precision, clone_under, copy_weights, spread
from pairlift_training.feed import Feed
from pairlift_training.history import write_history
from pairlift_training.job_folder import TrainingIdentity, job_path, open_job, remove_job
from pairlift_training.labels import label_places
from pairlift_training.loop import Loop, Score
from pairlift_training.network import make_network
from pairlift_training.optimizer import build_optimizer
from pairlift_training.plots import check_plots, draw_confusion, draw_curve, draw_rate
from pairlift_training.predict import BATCH_ROWS, predict_encoded, run_batches, to_probabilities
from pairlift_training.recipe import Recipe
from pairlift_training.run import CARD, CONFUSION, CURVE, HISTORY, MODEL, RATE, RUN, Run

HELD_OUT_PAIRS = 256
PACKAGES = ("keras", "keras-hub", "jax", "tensorflow", "torch", "numpy", "tokenizers")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training job.

    Attributes:
        recipe: The recipe, overrides included.
        labels, fields: The names of labels and fields in model order.
        train, validation, test: The data by part.
        vocabulary, merges: Files for a model from scratch.
        cache: The cache for tokens, or None.
        checkpoint_steps: The number of updates between two checkpoints.
        restart: Whether to discard the progress of an earlier process.
        force: Whether to replace a run of the same name.
        quiet: Whether to show no progress.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    train: Rows
    validation: Rows
    test: Rows | None
    vocabulary: Path | None = None
    merges: Path | None = None
    cache: Cache | None = None
    checkpoint_steps: int = CHECKPOINT_STEPS
    restart: bool = False
    force: bool = False
    quiet: bool = False

    @property
    def parts(self) -> dict[str, Rows]:
        """The data sets by part; `test` only if there is one."""
        return {"train": self.train, "validation": self.validation} | ({"test": self.test} if self.test else {})


def train(job: Job, path: Path) -> Run:
    """Train, and write the run directory; `PATH.job` holds the progress, with which a killed training continues.

    Raises:
        AgreementError, ChangedError, Stopped: As `Loop.run`.
        DestinationError: The run exists, or another process is training it.
        InputError, UsageError: As `build_classifier`.
        StorageError: Something cannot be written.
    """
    check_plots()
    recipe = job.recipe
    devices, precision = spread(recipe), choose_precision(recipe)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(recipe.seed)
    classifier = build_classifier(recipe, len(job.labels), job.train, job.vocabulary, job.merges)
    encoder = read_encoder(classifier)
    data = {name: Encoded(encoder, rows.pairs, job.cache) for name, rows in job.parts.items()}
    truth = {name: label_places(rows.labels, job.labels) for name, rows in job.parts.items()}
    feed = Feed(data["train"], truth["train"], recipe.batch_size, recipe.seed)
    # The saved model is float32 from the beginning; with another precision, a copy of it is trained.
    trained = classifier if precision == "float32" else clone_under(classifier, precision)
    optimizer = build_optimizer(recipe, feed.updates * recipe.epochs)
    network = make_network(trained, optimizer, has_logits(classifier))
    size = -(-BATCH_ROWS // devices) * devices

    def predict(part: str) -> NDArray[np.float32]:
        return to_probabilities(classifier, run_batches(network.outputs, data[part], size))

    def validate() -> Score:
        metrics = measure(predict("validation"), truth["validation"], job.labels)
        return Score(loss=metrics.log_loss, accuracy=metrics.accuracy)

    with open_job(job_path(path), _identify(job, encoder.record.tokenizer), job.restart) as folder:
        loop = Loop(network, feed, validate, recipe, folder, job.checkpoint_steps, job.quiet)
        progress = loop.run()
        if recipe.keep == "best":
            network.restore(read_best(folder, progress.best_epoch))
        network.store()
        if trained is not classifier:
            copy_weights(trained, classifier)
        metrics = {
            part: measure(
                predict(part) if trained is classifier else predict_encoded(classifier, data[part]),
                truth[part],
                job.labels,
            )
            for part in data
            if part != "train"
        }
        with staged_directory(path, RUN, job.force) as stage:
            classifier.save(stage / MODEL)
            run = _describe(job, classifier, devices, precision, progress, metrics, stage)
            _write(stage, run, progress)
        remove_job(folder)
    return run


def _identify(job: Job, tokenizer: object) -> TrainingIdentity:
    return TrainingIdentity(
        recipe=job.recipe,
        labels=job.labels,
        fields=job.fields,
        data={name: rows.describe().sha256 for name, rows in job.parts.items()},
        tokenizer=sha256_bytes(record.dump(tokenizer)),
        backend=keras.backend.backend(),
        versions=read_versions(PACKAGES),
    )


def _describe(
    job: Job,
    classifier: Any,
    devices: int,
    precision: str,
    progress: Progress,
    metrics: dict[str, Metrics],
    stage: Path,
) -> Run:
    return Run(
        architecture=type(classifier).__name__,
        labels=job.labels,
        fields=job.fields,
        sequence_length=job.recipe.sequence_length,
        parameters=classifier.count_params(),
        recipe=job.recipe,
        backend=keras.backend.backend(),
        devices=devices,
        precision=precision,
        epochs=progress.epoch,
        kept_epoch=progress.best_epoch if job.recipe.keep == "best" else progress.epoch,
        seconds=round(progress.seconds, 1),
        data={name: rows.describe() for name, rows in job.parts.items()},
        metrics=metrics,
        held_out=hold_out(job.validation, HELD_OUT_PAIRS),
        versions=read_versions(PACKAGES),
        model_sha256=sha256_file(stage / MODEL),
    )


def _write(stage: Path, run: Run, progress: Progress) -> None:
    write_history(stage / HISTORY, progress.points)
    draw_curve(stage / CURVE, progress.points, run.kept_epoch)
    draw_rate(stage / RATE, progress.points)
    part = "test" if "test" in run.metrics else "validation"
    draw_confusion(stage / CONFUSION, run.metrics[part], part)
    (stage / CARD).write_text(format_card(run), encoding="utf-8")
    (stage / RUN).write_bytes(record.dump(run))
