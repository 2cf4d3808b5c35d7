"""The SavedModel: the reference as TensorFlow Serving loads it, from token arrays to logits."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pairlift_export.reference import Reference, run_by_length


def write_saved_model(reference: Reference, path: Path) -> None:
    """Write the network with one signature, `serving_default`: int32 (batch, sequence) in, `logits` out."""
    archive = keras.export.ExportArchive()
    archive.track(reference.classifier)
    signature = {name: tf.TensorSpec((None, None), tf.int32, name=name) for name in reference.inputs}
    archive.add_endpoint(
        "serve", lambda arrays: {"logits": reference.classifier(arrays, training=False)}, input_signature=[signature]
    )
    archive.write_out(str(path), verbose=False)


def run_saved_model(path: Path, arrays: dict[str, NDArray[np.int32]]) -> NDArray[np.float32]:
    """Return a SavedModel's logits, float32, shape (n, labels)."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    return run_by_length(
        lambda batch: serve(**{name: tf.constant(values) for name, values in batch.items()})["logits"].numpy(), arrays
    )
