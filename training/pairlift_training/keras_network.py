"""A network under TensorFlow or PyTorch: a Keras model that trains batch by batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from pairlift_training.feed import Portion
from pairlift_training.network import Arrays, Feeds, Sums, name_arrays


class KerasNetwork:
    """The network as a Keras model that trains itself batch by batch."""

    def __init__(self, model: Any, optimizer: Any, from_logits: bool) -> None:
        optimizer.build(model.trainable_variables)
        self._model, self._optimizer = model, optimizer
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
            weighted_metrics=[_Loss(from_logits=from_logits, name="real_loss"), _Accuracy(name="real_accuracy")],
        )
        self._sums = np.zeros(3)

    def step(self, portion: Portion) -> None:
        """Train on one part of a batch."""
        found = self._model.train_on_batch(portion.feeds, portion.truth, portion.weights, return_dict=True)
        rows = float((portion.weights > 0).sum())
        self._sums += np.array([found["real_loss"] * rows, found["real_accuracy"] * rows, rows])

    def read(self) -> Sums:
        """Return the sums."""
        loss, correct, rows = (float(value) for value in self._sums)
        return Sums(loss=loss, correct=correct, rows=rows)

    def clear(self) -> None:
        """Set the sums to zero."""
        self._sums = np.zeros(3)

    def outputs(self, feeds: Feeds) -> Any:
        """Return the head's outputs for a batch."""
        return self._model.predict_on_batch(feeds)

    def weights(self) -> Arrays:
        """Return the trainable weights."""
        return name_arrays({"trainable": self._variables()["trainable"]})

    def state(self) -> Arrays:
        """Return the whole state."""
        return name_arrays(self._variables()) | {"sums/0": self._sums}

    def restore(self, arrays: Arrays) -> None:
        """Load weights or a whole state."""
        for part, variables in self._variables().items():
            for i, variable in enumerate(variables):
                if f"{part}/{i}" in arrays:
                    variable.assign(arrays[f"{part}/{i}"])
        self._sums = arrays.get("sums/0", self._sums)

    def store(self) -> None:
        """Do nothing: the variables are the state."""

    def _variables(self) -> dict[str, list[Any]]:
        return {
            "trainable": self._model.trainable_variables,
            "other": self._model.non_trainable_variables,
            "optimizer": self._optimizer.variables,
        }


class _Loss(keras.metrics.SparseCategoricalCrossentropy):
    """The mean over the rows of weight above 0, each counted once; the others only fill a batch."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(y_true, y_pred, keras.ops.cast(sample_weight > 0, "float32"))


class _Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """The mean over the rows of weight above 0, each counted once; the others only fill a batch."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(y_true, y_pred, keras.ops.cast(sample_weight > 0, "float32"))
