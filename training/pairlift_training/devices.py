"""Devices: which are available for training, and how they determine the precision and the batches."""

from __future__ import annotations

import logging
from typing import Any

import keras
from pairlift_training.recipe import Recipe

log = logging.getLogger(__name__)


def choose_precision(recipe: Recipe) -> str:
    """Return the Keras dtype policy to train under: `auto` is mixed_bfloat16 on an accelerator, else float32."""
    if recipe.precision != "auto":
        return recipe.precision
    return "mixed_bfloat16" if _has_accelerator() else "float32"


def spread(recipe: Recipe) -> int:
    """Let Keras spread each batch over the available devices, and return how many it uses.

    It uses the largest number that divides the rows that go through the network at once. Must be called before a model
    is made. Only JAX supports this; other backends use one device.
    """
    keras.distribution.set_distribution(None)
    if keras.backend.backend() != "jax":
        return 1
    devices = keras.distribution.list_devices()
    rows = recipe.batch_size // recipe.accumulate
    count = max(n for n in range(1, len(devices) + 1) if rows % n == 0)
    if count < len(devices):
        log.warning("%d of %d devices are used: %d rows cannot be divided equally among all", count, len(devices), rows)
    if count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices[:count]))
    return count


def clone_under(classifier: Any, policy: str) -> Any:
    """Return a classifier of the same architecture and weights under another dtype policy, without its preprocessor."""
    config = {**classifier.get_config(), "preprocessor": None}
    clone = type(classifier).from_config(_replace_policy(config, policy))
    copy_weights(classifier, clone)
    return clone


def copy_weights(source: Any, target: Any) -> None:
    """Copy the weights of one classifier into another."""
    for before, after in zip(source.weights, target.weights, strict=True):
        after.assign(before.value)


def _replace_policy(value: Any, policy: str) -> Any:
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            return {**value, "config": {**value["config"], "name": policy}}
        return {name: _replace_policy(member, policy) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_policy(member, policy) for member in value]
    return value


def _has_accelerator() -> bool:
    if keras.backend.backend() == "torch":
        return str(keras.ops.zeros(1).device) != "cpu"
    return not keras.distribution.list_devices()[0].startswith("cpu")
