"""Predictions of a Keras classifier on pairs, through the runner's encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.encoder import Pair
from pairlift.model.scorer import softmax
from pairlift_training.batches import Encoded
from pairlift_training.classifier import has_logits, read_encoder
from pairlift_training.feed import pack_rows

BATCH_ROWS = 64

Forward = Callable[[dict[str, NDArray[np.int32]]], Any]


def predict_logits(classifier: Any, pairs: list[Pair]) -> NDArray[np.float32]:
    """Return the logits of pairs, float32, shape (len(pairs), n_labels); for softmax, the logarithms of its outputs."""
    outputs = predict_outputs(classifier, Encoded(read_encoder(classifier), pairs))
    return outputs if has_logits(classifier) else np.log(np.maximum(outputs, np.finfo(np.float32).tiny))


def predict_encoded(classifier: Any, data: Encoded) -> NDArray[np.float32]:
    """Return the probabilities of a data set's rows, float32, shape (len(data), n_labels)."""
    return to_probabilities(classifier, predict_outputs(classifier, data))


def predict_outputs(classifier: Any, data: Encoded) -> NDArray[np.float32]:
    """Return the outputs of the classifier's head for each row, float32, in order."""
    network = keras.Model(classifier.input, classifier.output)
    return run_batches(network.predict_on_batch, data)


def run_batches(forward: Forward, data: Encoded, size: int = BATCH_ROWS) -> NDArray[np.float32]:
    """Return the outputs of a function for each row, float32, in order.

    Args:
        forward: Maps the arrays of one batch to its outputs, shape (size, n_labels).
        data: The rows.
        size: The number of rows in a batch; the last batch is filled up.
    """
    out: NDArray[np.float32] | None = None
    for rows in data.batches(size, np.arange(len(data))):
        values = np.asarray(forward(pack_rows(data, rows, size).feeds()), np.float32)[: len(rows)]
        if out is None:
            out = np.empty((len(data), values.shape[1]), np.float32)
        out[rows] = values
    return np.empty((0, 0), np.float32) if out is None else out


def to_probabilities(classifier: Any, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities: the softmax of a head's logits, or the outputs of a softmax head unchanged."""
    return softmax(outputs) if has_logits(classifier) else outputs
