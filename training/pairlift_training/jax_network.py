"""A network under JAX: pure functions of a state that stays on the device."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from pairlift_training.feed import Portion
from pairlift_training.network import Arrays, Feeds, Sums, name_arrays


class JaxNetwork:
    """The network as pure functions of its state."""

    def __init__(self, model: Any, optimizer: Any, from_logits: bool) -> None:
        import jax

        optimizer.build(model.trainable_variables)
        self._model, self._optimizer, self._from_logits = model, optimizer, from_logits
        self._variables = {
            "trainable": model.trainable_variables,
            "other": model.non_trainable_variables,
            "optimizer": optimizer.variables,
        }
        # Copies, because a step reuses the memory of the old state for the new one.
        self._state = {part: [jax.numpy.array(v.value) for v in of] for part, of in self._variables.items()}
        self._sums = jax.numpy.zeros(3)
        self._distribution = keras.distribution.distribution()
        if self._distribution is not None:
            everywhere = keras.distribution.TensorLayout([None], self._distribution.device_mesh).backend_layout
            self._sums = jax.device_put(self._sums, everywhere)
        shardings = (
            jax.tree.map(lambda array: array.sharding, (self._state, self._sums)) if self._distribution else None
        )
        self._update = jax.jit(self._compute, donate_argnums=(0, 1), out_shardings=shardings)
        self._forward = jax.jit(self._call)

    def step(self, portion: Portion) -> None:
        """Train on one part of a batch."""
        import jax

        values = self._place((portion.feeds, portion.truth, portion.weights))
        # Random numbers that devices can draw separately cost twice as much, and dropout's are a third of a step.
        with jax.threefry_partitionable(self._distribution is not None):
            self._state, self._sums = self._update(self._state, self._sums, *values)

    def read(self) -> Sums:
        """Return the sums; waits for the device."""
        loss, correct, rows = (float(value) for value in np.asarray(self._sums))
        return Sums(loss=loss, correct=correct, rows=rows)

    def clear(self) -> None:
        """Set the sums to zero."""
        self._sums = self._sums * 0

    def outputs(self, feeds: Feeds) -> Any:
        """Return the head's outputs for a batch."""
        return self._forward(self._state["trainable"], self._state["other"], self._place(feeds))

    def weights(self) -> Arrays:
        """Return the trainable weights."""
        return name_arrays({"trainable": self._state["trainable"]})

    def state(self) -> Arrays:
        """Return the whole state."""
        return name_arrays({**self._state, "sums": [self._sums]})

    def restore(self, arrays: Arrays) -> None:
        """Load weights or a whole state."""
        import jax

        def take(name: str, old: Any) -> Any:
            return jax.device_put(arrays[name], old.sharding) if name in arrays else old

        self._state = {
            part: [take(f"{part}/{i}", old) for i, old in enumerate(values)] for part, values in self._state.items()
        }
        self._sums = take("sums/0", self._sums)

    def store(self) -> None:
        """Write the state into the model's and the optimiser's variables."""
        import jax

        for part, variables in self._variables.items():
            for variable, value in zip(variables, self._state[part], strict=True):
                variable.assign(jax.numpy.array(value))

    def _compute(self, state: Any, sums: Any, feeds: Any, truth: Any, weights: Any) -> Any:
        import jax

        def loss_of(trainable: Any, other: Any) -> Any:
            outputs, other = self._model.stateless_call(trainable, other, feeds, training=True)
            outputs = keras.ops.cast(outputs, "float32")
            losses = keras.ops.sparse_categorical_crossentropy(truth, outputs, from_logits=self._from_logits)
            return (losses * weights).mean(), (other, losses, outputs)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (_, (other, losses, outputs)), gradients = gradient(state["trainable"], state["other"])
        trainable, optimizer = self._optimizer.stateless_apply(state["optimizer"], gradients, state["trainable"])
        real = (weights > 0).astype("float32")
        right = (outputs.argmax(-1) == truth) * real
        sums = sums + jax.numpy.stack([(losses * real).sum(), right.sum(), real.sum()])
        return {"trainable": trainable, "other": other, "optimizer": optimizer}, sums

    def _call(self, trainable: Any, other: Any, feeds: Any) -> Any:
        outputs, _ = self._model.stateless_call(trainable, other, feeds, training=False)
        return keras.ops.cast(outputs, "float32")

    def _place(self, values: Any) -> Any:
        if self._distribution is None:
            return values
        import jax

        def put(array: Any) -> Any:
            return jax.device_put(array, self._distribution.get_data_layout(array.shape).backend_layout)

        return jax.tree.map(put, values)
