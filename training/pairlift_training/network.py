"""A network in training: its step, its outputs, and its whole state as arrays.

Under JAX the step is pairlift's own: the state stays on the device, and only reading the sums waits for the device.
Under TensorFlow and PyTorch it is Keras' `train_on_batch`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray
from pairlift_training.feed import Portion

Arrays = dict[str, NDArray[Any]]
Feeds = dict[str, NDArray[np.int32]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over the training rows since the last `clear`: the loss in nats, correct rows, and rows."""

    loss: float
    correct: float
    rows: float


class Network(Protocol):
    """What the loop needs from a backend."""

    def step(self, portion: Portion) -> None:
        """Train on one part of a batch; the optimiser moves the weights after the batch's last part."""
        ...

    def read(self) -> Sums:
        """Return the sums; waits for the device."""
        ...

    def clear(self) -> None:
        """Set the sums to zero."""
        ...

    def outputs(self, feeds: Feeds) -> Any:
        """Return the head's outputs for a batch, without dropout, shape (rows, labels)."""
        ...

    def weights(self) -> Arrays:
        """Return the trainable weights."""
        ...

    def state(self) -> Arrays:
        """Return everything that the next step depends on: weights, dropout's seeds, the optimiser, and the sums."""
        ...

    def restore(self, arrays: Arrays) -> None:
        """Load weights or a whole state."""
        ...

    def store(self) -> None:
        """Write the weights into the model's own variables."""
        ...


def make_network(classifier: Any, optimizer: Any, from_logits: bool) -> Network:
    """Return the network of a classifier for the backend that Keras uses.

    Args:
        classifier: A KerasHub text classifier.
        optimizer: A Keras optimiser that is not built yet.
        from_logits: Whether the head gives logits; otherwise it gives probabilities.
    """
    from pairlift_training.jax_network import JaxNetwork
    from pairlift_training.keras_network import KerasNetwork

    model = keras.Model(classifier.input, classifier.output)
    if keras.backend.backend() == "jax":
        return JaxNetwork(model, optimizer, from_logits)
    return KerasNetwork(model, optimizer, from_logits)


def name_arrays(parts: dict[str, list[Any]]) -> Arrays:
    """Return copies of arrays, named `PART/INDEX`."""
    return {
        f"{part}/{i}": np.array(keras.ops.convert_to_numpy(value))
        for part, of in parts.items()
        for i, value in enumerate(of)
    }
