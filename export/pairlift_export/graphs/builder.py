"""A builder of ONNX graphs: nodes in order, and each weight once, under its Keras name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

OPSET = 17
IR_VERSION = 10  # the newest that the oldest supported onnxruntime reads
CONTRIB = "com.microsoft"
OUTPUT = "logits"


class GraphBuilder:
    """Collects the nodes and the initializers of one graph.

    Attributes:
        weights: The Keras weights by path, without the backbone's name.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str) -> str:
        """Add a Keras weight as it is, and return its name."""
        return self.constant(name, self.weights[name])

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an initializer unless one of that name is there, and return its name."""
        if name not in self._initializers:
            self._initializers[name] = onnx.numpy_helper.from_array(
                np.ascontiguousarray(value).reshape(value.shape), name
            )
        return name

    def integers(self, *values: int) -> str:
        """Add a list of int64, and return its name."""
        return self.constant("int64_" + "_".join(map(str, values)), np.array(values, np.int64))

    def node(
        self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: int | float | list[int]
    ) -> str:
        """Add a node named after its one output, and return that."""
        self._nodes.append(onnx.helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def dense(self, x: str, layer: str, output: str) -> str:
        """Add a Keras dense layer without its activation: (…, in) to (…, out)."""
        rows = self.node("MatMul", [x, self.weight(f"{layer}/kernel")], f"{output}/rows")
        return self.node("Add", [rows, self.weight(f"{layer}/bias")], output)

    def layer_norm(self, x: str, layer: str, epsilon: float, output: str) -> str:
        """Add a Keras layer normalisation over the last axis."""
        inputs = [x, self.weight(f"{layer}/gamma"), self.weight(f"{layer}/beta")]
        return self.node("LayerNormalization", inputs, output, axis=-1, epsilon=epsilon)

    def build(self, inputs: Sequence[str], labels: int) -> onnx.ModelProto:
        """Return the graph: int32 inputs (batch, sequence), `logits` float32 (batch, labels)."""
        arrays = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.INT32, ["batch", "sequence"]) for n in inputs]
        result = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", labels])
        graph = onnx.helper.make_graph(self._nodes, "pairlift", arrays, [result], list(self._initializers.values()))
        opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(CONTRIB, 1)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "pairlift"
        return model
