"""Predictions of a Keras classifier on pairs, through the runner's encoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pairlift.encoder import Pair
from pairlift.scorer import softmax
from pairlift_training.batches import Encoded
from pairlift_training.classifier import read_encoder

BATCH_ROWS = 64


def predict_probabilities(classifier: Any, pairs: list[Pair]) -> NDArray[np.float32]:
    """Return the probabilities of pairs, float32, shape (len(pairs), n_labels).

    A head that ends in softmax is taken as it is, another's outputs are logits.
    """
    outputs = predict_outputs(classifier, Encoded(read_encoder(classifier), pairs))
    activation = (
        keras.activations.serialize(getattr(classifier, "activation", None))
        if getattr(classifier, "activation", None)
        else "linear"
    )
    return outputs if activation == "softmax" else softmax(outputs)


def predict_outputs(classifier: Any, data: Encoded) -> NDArray[np.float32]:
    """Return what the classifier's head gives for each row, float32, in order."""
    network = keras.Model(classifier.input, classifier.output)
    out: NDArray[np.float32] | None = None
    for rows in data.batches(BATCH_ROWS, np.arange(len(data))):
        filled = np.resize(rows, BATCH_ROWS) if len(rows) < BATCH_ROWS else rows
        values = np.asarray(network.predict_on_batch(data.pack(filled).feeds()), np.float32)[: len(rows)]
        if out is None:
            out = np.empty((len(data), values.shape[1]), np.float32)
        out[rows] = values
    return np.empty((0, 0), np.float32) if out is None else out
