"""Int8: a float graph whose matrix products take 8-bit integers, with constant scales.

Weights are int8 with one scale per output channel, embeddings int8 with one scale per row, activations uint8 with the
scale of a range that was measured on real pairs. The scales are constants, because one taken over each batch would make
a row's score depend on its neighbours. What is computed only for the first token stays float32: the last bits of such a
product change with the number of rows, and rounding could turn that change into a whole step.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2018; onnxruntime's contrib operators MatMulIntegerToFloat and QAttention.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from pairlift.encoding.packing import Batch
from pairlift.model.session import Session, count_threads, open_session
from pairlift_export.graphs.builder import CONTRIB

SIGNED_MOST = 127  # weights use -127 to 127, so that zero is in the middle
UNSIGNED_MOST = 255


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The smallest and the largest value of an activation, extended to include zero."""

    low: float
    high: float


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that multiply an activation by a constant matrix."""
    matrices = {i.name for i in model.graph.initializer if len(i.dims) == 2}
    return [n for n in model.graph.node if n.op_type in ("MatMul", "Attention") and n.input[1] in matrices]


def token_table(model: onnx.ModelProto) -> str:
    """Return the name of the largest look-up table: the token embedding."""
    sizes: dict[str, int] = {i.name: i.dims[0] for i in model.graph.initializer if len(i.dims) == 2}
    tables = {n.input[0] for n in model.graph.node if n.op_type == "Gather" and n.input[0] in sizes}
    return max((name for name in sizes if name in tables), key=sizes.__getitem__)


def calibrate(graph: Path, batches: Iterable[Batch]) -> dict[str, Range]:
    """Run a float graph and return, by name, the range of each activation that enters a product over all tokens."""
    model = onnx.load(graph)
    names = list(dict.fromkeys(node.input[0] for node in products(model)))
    model.graph.output.extend(helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    data = model.SerializeToString()
    del model  # a base-size graph is 440 MB
    session = open_session(data, str(graph))
    del data
    ranges: dict[str, Range] = {}
    batches = list(batches)
    with ThreadPoolExecutor(count_threads()) as pool:
        found = pool.map(lambda batch: _measure(session, names, batch), batches)
    for measured in found:
        for name, seen in measured.items():
            known = ranges.get(name, seen)
            ranges[name] = Range(low=min(known.low, seen.low), high=max(known.high, seen.high))
    return ranges


def _measure(session: Session, names: Sequence[str], batch: Batch) -> dict[str, Range]:
    values = dict(zip(names, session.run(list(names), batch.feeds()), strict=True))
    return {
        name: Range(low=min(0.0, float(x.min())), high=max(0.0, float(x.max())))
        for name, x in values.items()
        if x.size == x.shape[-1] * batch.token_ids.size
    }


def quantise(model: onnx.ModelProto, ranges: Mapping[str, Range], embeddings: Sequence[str]) -> onnx.ModelProto:
    """Return the int8 graph of a float graph.

    Args:
        model: The float graph.
        ranges: The ranges of the activations, from `calibrate`; a product of another activation stays float32.
        embeddings: Tables, float32 of shape (rows, width), that become int8 too.
    """
    work = _Quantiser(model, ranges)
    chosen = {node.output[0] for node in products(model) if node.input[0] in ranges}
    absorbed = {product: node for product, node in _biases(model).items() if product in chosen}
    skipped = {node.output[0] for node in absorbed.values()}
    for node in model.graph.node:
        if node.output[0] in chosen and node.op_type == "Attention":
            work.attention(node)
        elif node.output[0] in chosen:
            work.product(node, absorbed.get(node.output[0]))
        elif node.op_type == "Gather" and node.input[0] in embeddings:
            work.lookup(node)
        elif node.output[0] not in skipped:
            work.nodes.append(node)
    return work.build()


class _Quantiser:
    """The nodes and initializers of an int8 graph under construction."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
        self._model = model
        self._ranges = ranges
        self._floats = {i.name: i for i in model.graph.initializer}
        self._made: dict[str, onnx.TensorProto] = {}
        self.nodes: list[onnx.NodeProto] = []

    def attention(self, node: onnx.NodeProto) -> None:
        """Replace a fused attention by its 8-bit form."""
        x, scale, zero = self._activation(node.input[0])
        weight, weight_scale, weight_zero = self._weight(node.input[1])
        inputs = [x, weight, node.input[2], scale, weight_scale, node.input[3], zero, weight_zero]
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.nodes.append(
            helper.make_node("QAttention", inputs, list(node.output), name=node.name, domain=CONTRIB, **options)
        )

    def product(self, node: onnx.NodeProto, bias: onnx.NodeProto | None) -> None:
        """Replace a product, and the addition of a bias after it."""
        x, scale, zero = self._activation(node.input[0])
        weight, weight_scale, weight_zero = self._weight(node.input[1])
        inputs = [x, weight, scale, weight_scale, zero, weight_zero]
        if bias is not None:
            inputs.append(next(name for name in bias.input if name in self._floats))
        output = node.output[0] if bias is None else bias.output[0]
        self.nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [output], name=output, domain=CONTRIB))

    def lookup(self, node: onnx.NodeProto) -> None:
        """Replace a look-up in an embedding table."""
        table, ids, output = node.input[0], node.input[1], node.output[0]
        rows = numpy_helper.to_array(self._floats[table])
        scale = _scale(np.abs(rows).max(axis=1, keepdims=True))
        self._put(f"{table}/int8", _to_int8(rows, scale))
        self._put(f"{table}/scale", scale)
        self.nodes += [
            helper.make_node("Gather", [f"{table}/int8", ids], [f"{output}/int8"], name=f"{output}/int8"),
            helper.make_node(
                "Cast", [f"{output}/int8"], [f"{output}/float"], name=f"{output}/float", to=onnx.TensorProto.FLOAT
            ),
            helper.make_node("Gather", [f"{table}/scale", ids], [f"{output}/scale"], name=f"{output}/scale"),
            helper.make_node("Mul", [f"{output}/float", f"{output}/scale"], [output], name=output),
        ]

    def build(self) -> onnx.ModelProto:
        """Return the graph with the initializers that are still used."""
        used = {name for node in self.nodes for name in node.input}
        old = self._model.graph
        everything = {**self._floats, **self._made}
        graph = helper.make_graph(
            self.nodes, old.name, old.input, old.output, [tensor for name, tensor in everything.items() if name in used]
        )
        opsets = [helper.make_opsetid(o.domain, o.version) for o in self._model.opset_import if o.domain != CONTRIB]
        opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
        model.producer_name = self._model.producer_name
        return model

    def _activation(self, name: str) -> tuple[str, str, str]:
        quantised, scale, zero = f"{name}/uint8", f"{name}/scale", f"{name}/zero"
        if quantised not in {node.output[0] for node in self.nodes if node.op_type == "QuantizeLinear"}:
            found = self._ranges[name]
            step = (found.high - found.low) / UNSIGNED_MOST or 1.0
            self._put(scale, np.array(step, np.float32))
            self._put(zero, np.array(round(-found.low / step), np.uint8))
            self.nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [quantised], name=quantised))
        return quantised, scale, zero

    def _weight(self, name: str) -> tuple[str, str, str]:
        values = numpy_helper.to_array(self._floats[name])
        scale = _scale(np.abs(values).max(axis=0))
        self._put(f"{name}/int8", _to_int8(values, scale))
        self._put(f"{name}/scale", scale)
        self._put(f"{name}/zero", np.zeros(len(scale), np.int8))
        return f"{name}/int8", f"{name}/scale", f"{name}/zero"

    def _put(self, name: str, value: NDArray[np.generic]) -> None:
        self._made[name] = numpy_helper.from_array(value, name)


def _biases(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the additions of a constant vector that are the only node after a product, by the product's output."""
    vectors = {i.name for i in model.graph.initializer if len(i.dims) == 1}
    taken: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            taken.setdefault(name, []).append(node)
    found = {}
    for product in products(model):
        after = taken.get(product.output[0], [])
        if len(after) == 1 and after[0].op_type == "Add" and any(name in vectors for name in after[0].input):
            found[product.output[0]] = after[0]
    return found


def _scale(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = (largest / SIGNED_MOST).astype(np.float32)
    return np.where(scale == 0, np.float32(1), scale)


def _to_int8(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int8]:
    steps: NDArray[np.int8] = np.rint(values / scale).clip(-SIGNED_MOST, SIGNED_MOST).astype(np.int8)
    return steps
