"""A builder of ONNX graphs: nodes in order, and each weight once, under its Keras name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

OPSET = 17
IR_VERSION = 10  # the newest that the oldest supported onnxruntime reads
CONTRIB = "com.microsoft"
OUTPUT = "logits"


class GraphBuilder:
    """Adds nodes and initializers directly to one graph, so that memory holds a base-size model once, not three times.

    Attributes:
        weights: The Keras variables by path, without the backbone's name.
        model: The graph so far.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.weights = weights
        self.model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="pairlift")
        self.model.opset_import.extend([helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)])
        self.model.graph.name = "pairlift"
        self._known: set[str] = set()

    def value(self, name: str) -> NDArray[np.float32]:
        """Return a Keras weight."""
        return np.asarray(self.weights[name].numpy(), np.float32)

    def weight(self, name: str) -> str:
        """Add a Keras weight as it is, and return its name."""
        return self.constant(name, self.value(name))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an initializer unless one of that name exists, and return its name."""
        if name not in self._known:
            self._known.add(name)
            tensor = self.model.graph.initializer.add(name=name, dims=value.shape)
            tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
            tensor.raw_data = value.tobytes()
        return name

    def integers(self, *values: int) -> str:
        """Add a list of int64, and return its name."""
        return self.constant("int64_" + "_".join(map(str, values)), np.array(values, np.int64))

    def node(
        self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: int | float | list[int]
    ) -> str:
        """Add a node named after its only output, and return that name."""
        self.model.graph.node.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def dense(self, x: str, layer: str, output: str) -> str:
        """Add a Keras dense layer without its activation: (…, in) to (…, out)."""
        rows = self.node("MatMul", [x, self.weight(f"{layer}/kernel")], f"{output}/rows")
        return self.node("Add", [rows, self.weight(f"{layer}/bias")], output)

    def layer_norm(self, x: str, layer: str, epsilon: float, output: str) -> str:
        """Add a Keras layer normalisation over the last axis."""
        inputs = [x, self.weight(f"{layer}/gamma"), self.weight(f"{layer}/beta")]
        return self.node("LayerNormalization", inputs, output, axis=-1, epsilon=epsilon)

    def close(self, inputs: Sequence[str], labels: int) -> onnx.ModelProto:
        """Name the graph's inputs, int32 (batch, sequence), and its output, `logits` float32 (batch, labels), and return it."""
        for name in inputs:
            value = helper.make_tensor_value_info(name, onnx.TensorProto.INT32, ["batch", "sequence"])
            self.model.graph.input.append(value)
        self.model.graph.output.append(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", labels]))
        return self.model
