"""The reference: the model as Keras computes it, in float32, from raw text to logits.

Every exported artefact is compared with the reference, which reads text through KerasHub's own preprocessor in its
graph path, inside `tf.data`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pairlift.encoding.encoder import Pair
from pairlift.errors import InputError, first_line

BATCH_ROWS = 32
KINDS = {
    "BertTextClassifier": (keras_hub.models.BertBackbone, keras_hub.models.BertTextClassifier),
    "RobertaTextClassifier": (keras_hub.models.RobertaBackbone, keras_hub.models.RobertaTextClassifier),
}
ACTIVATIONS = ("linear", "softmax")
# The layers whose outputs are compared, one after the other, when a graph disagrees.
STAGE_LAYER = re.compile(r"(embeddings_layer_norm|transformer_layer_\d+|pooled_dense|logits)\Z")
_BACKBONE = re.compile(r"\A[a-z]+_backbone(_\d+)?/")


def short_path(path: str) -> str:
    """Return the path of a Keras variable without the backbone's name, which all of them share."""
    return _BACKBONE.sub("", path)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A classifier under the float32 policy whose head gives logits.

    Attributes:
        classifier: The KerasHub classifier, without its preprocessor.
        preprocessor: KerasHub's preprocessor, as in the file.
        dtype_policy: The policy the file was saved under.
        inputs: Names of the network's inputs, sorted.
    """

    classifier: Any
    preprocessor: Any
    dtype_policy: str
    inputs: tuple[str, ...]

    def encode(self, pairs: Sequence[Pair]) -> dict[str, NDArray[np.int32]]:
        """Return KerasHub's own arrays for pairs, int32, shape (len(pairs), sequence_length)."""
        columns = ([p[0] for p in pairs], [p[1] for p in pairs])
        data = tf.data.Dataset.from_tensor_slices(columns).batch(BATCH_ROWS)
        parts = list(data.map(lambda first, second: self.preprocessor(x=(first, second))).as_numpy_iterator())
        return {name: np.concatenate([part[name] for part in parts]).astype(np.int32) for name in self.inputs}

    def logits(self, arrays: dict[str, NDArray[np.int32]]) -> NDArray[np.float32]:
        """Return Keras' logits, float32, shape (n, labels)."""
        return run_by_length(self.compile(), arrays)

    def compile(self) -> Callable[[dict[str, NDArray[np.int32]]], NDArray[np.float32]]:
        """Return a function from the arrays of one batch, of any shape, to Keras' logits."""
        inputs = {name: tf.TensorSpec((None, None), tf.int32) for name in self.inputs}
        call = tf.function(lambda batch: self.classifier(batch, training=False), input_signature=[inputs])
        return lambda batch: np.asarray(call({name: tf.constant(batch[name]) for name in self.inputs}), np.float32)

    def stages(self, arrays: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.float32]]:
        """Return the output of each stage for one batch, by the Keras layer's name, in order.

        Embeddings and layers float32, shape (n, sequence, width); pooled output (n, width); logits (n, labels).
        """
        found: dict[str, NDArray[np.float32]] = {}
        for model in (self.classifier.backbone, self.classifier):
            layers = [layer for layer in model.layers if STAGE_LAYER.match(layer.name)]
            taps = keras.Model(model.input, {layer.name: layer.output for layer in layers})
            values = taps({name: arrays[name] for name in self.inputs}, training=False)
            found |= {layer.name: np.asarray(values[layer.name], np.float32) for layer in layers}
        return found


def run_by_length(
    run: Callable[[dict[str, NDArray[np.int32]]], NDArray[np.float32]], arrays: dict[str, NDArray[np.int32]]
) -> NDArray[np.float32]:
    """Run rows in batches of similar length, without the columns in which all rows have padding.

    Args:
        run: Maps arrays of shape (rows, columns) to logits of shape (rows, labels).
        arrays: Int32, shape (n, sequence_length).

    Returns:
        Logits, float32, shape (n, labels), in the order of the rows.
    """
    mask = arrays["padding_mask"]
    lengths = mask.shape[1] - mask[:, ::-1].argmax(axis=1)
    order = np.argsort(lengths, kind="stable")
    parts = []
    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        parts.append(run({name: values[rows, : lengths[rows[-1]]] for name, values in arrays.items()}))
    logits = np.concatenate(parts)
    return np.asarray(logits[np.argsort(order)], np.float32)


def load_reference(path: Path) -> Reference:
    """Load a `.keras` file; if it is not float32 with logits, rebuild its classifier that way, with the same weights.

    A `mixed_bfloat16` file would be loaded in bfloat16, about 0.01 away from float32. A softmax head loses its softmax.

    Raises:
        InputError: Keras cannot load it, or the head's activation is neither none nor softmax.
    """
    try:
        loaded = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise InputError(f"{path}: Keras {keras.__version__} cannot load it: {first_line(error)}") from error
    activation = keras.activations.serialize(loaded.activation) if loaded.activation else "linear"
    if activation not in ACTIVATIONS:
        raise InputError(f"{path}: the head's activation is {activation!r}, expected none or softmax over the classes")
    preprocessor, policy = loaded.preprocessor, loaded.backbone.dtype_policy.name
    loaded.preprocessor = None
    exact = {policy, loaded.dtype_policy.name} == {"float32"} and activation == "linear"
    classifier = loaded if exact else _rebuild(loaded)
    return Reference(
        classifier=classifier, preprocessor=preprocessor, dtype_policy=policy, inputs=tuple(sorted(classifier.input))
    )


def _rebuild(loaded: Any) -> Any:
    backbone_kind, classifier_kind = KINDS[type(loaded).__name__]
    backbone = loaded.backbone
    config = {k: v for k, v in backbone.get_config().items() if k in _SIZES}
    options = {"hidden_dim": loaded.hidden_dim} if hasattr(loaded, "hidden_dim") else {}
    rebuilt = classifier_kind(
        backbone_kind(**config, dtype="float32"), num_classes=loaded.num_classes, preprocessor=None,
        dropout=loaded.dropout, dtype="float32", **options,
    )  # fmt: skip
    rebuilt.set_weights([np.asarray(value, np.float32) for value in loaded.get_weights()])
    return rebuilt


_SIZES = (
    "vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim", "dropout", "max_sequence_length",
    "num_segments",
)  # fmt: skip
