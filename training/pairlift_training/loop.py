"""The loop: epochs of updates, with checkpoints, a history, the best epoch, and early stopping."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pairlift.errors import AgreementError, Stopped
from pairlift.signals import noted_signals
from pairlift_training.bar import Bar
from pairlift_training.checkpoint import Progress, read_checkpoint, write_best, write_checkpoint
from pairlift_training.feed import Feed
from pairlift_training.history import Point
from pairlift_training.network import Network
from pairlift_training.optimizer import rate_of
from pairlift_training.recipe import Recipe

POINTS = 200  # of the history, approximately: enough for a curve, and few enough to wait for the device at each
GO_ON = "the checkpoint is kept; run the same command to continue"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean negative log probability of the true label in nats, and the share of rows predicted correctly."""

    loss: float
    accuracy: float


class Loop:
    """A training, from its checkpoint to its end.

    Args:
        network: The network to train.
        feed: The training data.
        validate: Measures the network's current state on the validation data.
        recipe: The recipe.
        folder: The job's directory.
        every: The number of updates between two checkpoints; each epoch ends with one, too.
        quiet: Whether to show no progress.
    """

    def __init__(
        self,
        network: Network,
        feed: Feed,
        validate: Callable[[], Score],
        recipe: Recipe,
        folder: Path,
        every: int,
        quiet: bool,
    ) -> None:
        self._network, self._feed, self._validate, self._recipe = network, feed, validate, recipe
        self._folder, self._every = folder, every
        self._total = feed.updates * recipe.epochs
        self._stride = math.ceil(self._total / POINTS)
        self._bar = Bar(feed.rows, network.read, quiet)
        self._began = 0.0

    def run(self) -> Progress:
        """Train until all epochs are done, or until it stops early.

        Raises:
            AgreementError: The loss or the state is no longer finite; the last checkpoint is kept.
            ChangedError: The checkpoint is damaged.
            Stopped: A signal arrived; a checkpoint of everything done so far was written.
        """
        found = read_checkpoint(self._folder)
        progress = found.progress if found else Progress()
        if found:
            self._network.restore(found.arrays)
            self._bar.say(
                f"continuing in epoch {progress.epoch + 1} after {progress.update} of {self._feed.updates} updates"
            )
        self._began = time.monotonic() - progress.seconds
        try:
            with noted_signals() as signals:
                while progress.epoch < self._recipe.epochs and not progress.stopped:
                    progress = self._run_epoch(progress, signals)
                    progress = self._end_epoch(progress)
        except Stopped as stopped:
            raise Stopped(stopped.number, GO_ON) from None
        finally:
            self._bar.end()
        return progress

    def _run_epoch(self, progress: Progress, signals: list[int]) -> Progress:
        order = self._feed.epoch(progress.epoch)
        self._bar.begin(progress.epoch + 1, min(progress.update * self._recipe.batch_size, self._feed.rows))
        for number in range(progress.update, len(order)):
            for portion in self._feed.portions(order[number], self._recipe.accumulate):
                self._network.step(portion)
            progress = dataclasses.replace(progress, update=number + 1)
            done, last = progress.epoch * len(order) + number + 1, number + 1 == len(order)
            if last or done % self._stride == 0:
                progress = self._add_point(progress, done)
            self._bar.advance(len(order[number]))
            if signals or (done % self._every == 0 and not last):
                self._save(progress)
            if signals:
                raise Stopped(signals[0])
        return progress

    def _add_point(self, progress: Progress, done: int) -> Progress:
        sums = self._network.read()
        if not math.isfinite(sums.loss):
            raise self._diverged(progress, "loss")
        self._network.clear()
        point = Point(
            epoch=progress.epoch + 1,
            update=done,
            learning_rate=rate_of(self._recipe, self._total, done - 1),
            loss=sums.loss / sums.rows,
            accuracy=sums.correct / sums.rows,
            seconds=round(time.monotonic() - self._began, 3),
        )
        return dataclasses.replace(progress, points=(*progress.points, point))

    def _end_epoch(self, progress: Progress) -> Progress:
        score, epoch = self._validate(), progress.epoch + 1
        point = dataclasses.replace(
            progress.points[-1], validation_loss=score.loss, validation_accuracy=score.accuracy
        )  # fmt: skip
        progress = dataclasses.replace(progress, epoch=epoch, update=0, points=(*progress.points[:-1], point))
        best = (progress.best_accuracy, -progress.best_loss)
        if not progress.best_epoch or (score.accuracy, -score.loss) > best:
            progress = dataclasses.replace(
                progress, best_epoch=epoch, best_accuracy=score.accuracy, best_loss=score.loss
            )  # fmt: skip
            if self._recipe.keep == "best":
                write_best(self._folder, epoch, self._network.weights())
        waited = epoch - progress.best_epoch
        progress = dataclasses.replace(progress, stopped=0 < self._recipe.patience <= waited)
        progress = self._save(progress)
        self._bar.end()
        loss, accuracy = _average(progress.points, epoch)
        self._bar.say(
            f"epoch {epoch}: loss {loss:.4f}, accuracy {accuracy:.4f}; validation loss {score.loss:.4f}, "
            f"accuracy {score.accuracy:.4f}; {point.seconds:.0f} s"
            + (f"; stopped early, {waited} without a better one" if progress.stopped else "")
        )
        return progress

    def _save(self, progress: Progress) -> Progress:
        state = self._network.state()
        if not all(np.isfinite(values).all() for values in state.values()):
            raise self._diverged(progress, "state of the network")
        progress = dataclasses.replace(progress, seconds=time.monotonic() - self._began)
        write_checkpoint(self._folder, progress, state)
        return progress

    def _diverged(self, progress: Progress, what: str) -> AgreementError:
        kept = read_checkpoint(self._folder)
        where = (
            f"the last good checkpoint, epoch {kept.progress.epoch + 1} after {kept.progress.update} updates, is kept in {self._folder}"
            if kept
            else "there was no checkpoint yet"
        )
        return AgreementError(
            f"the {what} is no longer finite in epoch {progress.epoch + 1} at update {progress.update}; {where}; "
            f"lower --learning-rate (it was {self._recipe.learning_rate:g}) or set --clip-norm, with --restart"
        )


def _average(points: tuple[Point, ...], epoch: int) -> tuple[float, float]:
    """Return the mean loss and accuracy over an epoch's updates."""
    starts = [0, *(point.update for point in points[:-1])]
    weights = [p.update - start if p.epoch == epoch else 0 for p, start in zip(points, starts, strict=True)]
    loss = float(np.average([point.loss for point in points], weights=weights))
    return loss, float(np.average([point.accuracy for point in points], weights=weights))
