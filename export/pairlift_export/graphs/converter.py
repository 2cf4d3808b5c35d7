"""The general route to ONNX: tf2onnx, applied to a function that takes the weights as arguments.

So the graph stays small while it is converted. This takes seconds; converting the whole model would take minutes and
gigabytes. Afterwards the arguments become initializers, each weight once, named as in Keras.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from pairlift_export.graphs.builder import IR_VERSION, OPSET, OUTPUT
from pairlift_export.reference import STAGE_LAYER, Reference, short_path
from tf2onnx.handler import tf_op


@tf_op("Erfc")
class Erfc:
    """Keras' exact GELU emits Erfc, for which tf2onnx 1.17 has no handler: it is 1 - Erf(x)."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
        """Replace the node, from opset 9 on."""
        dtype, shape, outputs, x = (
            ctx.get_dtype(node.output[0]),
            ctx.get_shape(node.output[0]),
            node.output,
            node.input[0],
        )
        ctx.remove_node(node.name)
        one = ctx.make_const(f"{node.name}/one", np.array(1, np.float32)).output[0]
        erf = ctx.make_node("Erf", [x]).output[0]
        ctx.make_node("Sub", [one, erf], outputs=outputs, name=node.name, dtypes=[dtype], shapes=[shape])


def convert_graph(reference: Reference) -> onnx.ModelProto:
    """Convert the network: its inputs int32 (batch, sequence), its output `logits` (batch, labels)."""
    classifier = reference.classifier
    trainable, fixed = classifier.trainable_variables, classifier.non_trainable_variables
    names = list(reference.inputs)
    weights = {f"weight_{i}": variable for i, variable in enumerate(trainable + fixed)}
    signature = [tf.TensorSpec((None, None), tf.int32, name=name) for name in names]
    signature += [tf.TensorSpec(v.shape, v.dtype, name=name) for name, v in weights.items()]

    def forward(*arguments: Any) -> dict[str, Any]:
        values = list(arguments[len(names) :])
        inputs = dict(zip(names, arguments[: len(names)], strict=True))
        logits, _ = classifier.stateless_call(
            values[: len(trainable)], values[len(trainable) :], inputs, training=False
        )
        return {OUTPUT: logits}

    function = tf.function(forward, input_signature=signature)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    _place_weights(model.graph, weights, names)
    _shorten_names(model.graph)
    _name_stages(model.graph, classifier)
    _name_axes(model.graph, classifier.num_classes)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "pairlift", ""
    return model


def _place_weights(graph: Any, weights: dict[str, Any], names: list[str]) -> None:
    used = {name for node in graph.node for name in node.input}
    paths = {name: variable.path for name, variable in weights.items() if name in used}
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = paths.get(name, name)
    for name, path in paths.items():
        graph.initializer.append(onnx.numpy_helper.from_array(weights[name].numpy(), path))
    kept = {i.name: i for i in graph.input}
    del graph.input[:]
    graph.input.extend(kept[name] for name in names)


def _shorten_names(graph: Any) -> None:
    """Remove the backbone's name from every name, because all of them share it."""
    for node in graph.node:
        node.name = short_path(node.name)
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = short_path(name)
    for initializer in graph.initializer:
        initializer.name = short_path(initializer.name)


def _name_stages(graph: Any, classifier: Any) -> None:
    """Name the output of each stage after its Keras layer, so that it can be found and compared.

    The nodes of a layer have its name in theirs, with or without a number that Keras appends; its output is the last.
    """
    layers = [layer.name for model in (classifier.backbone, classifier) for layer in model.layers]
    renamed = {}
    for layer in filter(STAGE_LAYER.match, layers):
        inside = re.compile(rf"(.*/)?{layer}(_\d+)?/")
        nodes = [node for node in graph.node if inside.match(node.name)]
        if nodes and layer != OUTPUT:
            renamed[nodes[-1].output[0]] = layer
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)


def _name_axes(graph: Any, labels: int) -> None:
    for value in graph.input:
        for dim, axis in zip(value.type.tensor_type.shape.dim, ("batch", "sequence"), strict=True):
            dim.dim_param = axis
    output = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", labels])
    graph.output[0].CopyFrom(output)
