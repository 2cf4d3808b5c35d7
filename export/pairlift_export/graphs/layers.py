"""Transformer layers in onnxruntime's fastest form (docs/performance.md); the last one only for the first token."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from pairlift_export.graphs.builder import CONTRIB, GraphBuilder

# Added to the scores of padding, so that their exponential is zero compared with that of any token's score.
MASKED = -1e9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """What differs between the families.

    Attributes:
        heads: Attention heads.
        epsilon: The epsilon of the layer normalisations.
        gelu: The operator: `FastGelu` is the tanh form, `BiasGelu` the exact one, both with the bias.
    """

    heads: int
    epsilon: float
    gelu: str


def add_layer(graph: GraphBuilder, kind: LayerKind, name: str, x: str) -> str:
    """Add a Keras TransformerEncoder: x (batch, sequence, width) to the same shape.

    One fused operator projects and attends: onnxruntime's `Attention`, which takes the padding mask as it is.
    """
    kernels, biases = _projections(graph, name)
    packed = graph.constant(f"{name}/query_key_value/kernel", np.concatenate(list(kernels.values()), axis=1))
    bias = graph.constant(f"{name}/query_key_value/bias", np.concatenate(list(biases.values())))
    attended = graph.node(
        "Attention", [x, packed, bias, "padding_mask"], f"{name}/attended", CONTRIB, num_heads=kind.heads
    )
    return _add_rest(graph, kind, name, attended, x, _output_bias(graph, name))


def add_first_token_layer(graph: GraphBuilder, kind: LayerKind, name: str, x: str) -> str:
    """Add a TransformerEncoder for the first token's output only: (batch, sequence, width) to (batch + 1, 1, width).

    The keys and values of the other tokens are never computed. With q the first token's query, a score is
    q . (W_k x + b_k) = (W_k^T q) . x + a term that is the same for every token, which softmax cancels. The sum of the
    values weighted by w is W_v (sum w x) + b_v, because the weights sum to one. So each head's query is mapped back to
    the width of x, and only one vector per head and row goes through W_v.

    Where rows are multiplied together, a spare row, a copy of the first, is added; the logits drop it. With a single
    row onnxruntime uses another kernel, whose last bits differ, so without the spare row a pair would score differently
    alone than in a batch.
    """
    width = graph.value(f"{name}/feedforward_layer_norm/gamma").shape[0]
    heads, size = kind.heads, width // kind.heads
    kernels, biases = _projections(graph, name)
    scale = 1 / np.sqrt(size)
    first = graph.node("Slice", [x, graph.integers(0), graph.integers(1), graph.integers(1)], f"{name}/first_token")

    first = _add_spare_row(graph, first, f"{name}/first_token")
    query = graph.node(
        "Add",
        [
            graph.node(
                "MatMul",
                [first, graph.constant(f"{name}/query/kernel", _scaled(kernels["query"], scale))],
                f"{name}/query/rows",
            ),
            graph.constant(f"{name}/query/bias", _scaled(biases["query"], scale)),
        ],
        f"{name}/query",
    )
    keys = kernels["key"].reshape(width, heads, size).transpose(1, 2, 0)
    query = _drop_spare_row(graph, _per_head(graph, query, heads, size, f"{name}/key", keys), f"{name}/key/rows")
    transposed = graph.node("Transpose", [x], f"{name}/transposed", perm=[0, 2, 1])
    scores = graph.node("MatMul", [query, transposed], f"{name}/scores")
    masked = graph.node("Add", [scores, _add_mask(graph)], f"{name}/masked")
    weights = graph.node("Softmax", [masked], f"{name}/attention", axis=-1)
    context = graph.node("MatMul", [weights, x], f"{name}/context")
    context = _add_spare_row(graph, context, f"{name}/context")
    values = kernels["value"].reshape(width, heads, size).transpose(1, 0, 2)
    attended = _per_head(graph, context, heads, width, f"{name}/value", values)
    attended = graph.node("Reshape", [attended, graph.integers(0, 1, width)], f"{name}/attended")
    output = _output_kernel(graph, name)
    bias = _output_bias(graph, name) + biases["value"].astype(np.float64) @ output
    return _add_rest(graph, kind, name, attended, first, bias.astype(np.float32))


def _add_rest(
    graph: GraphBuilder, kind: LayerKind, name: str, attended: str, residual: str, bias: NDArray[np.float32]
) -> str:
    """Add what follows attention: its output projection, the feed-forward network, and their residuals and norms."""
    kernel = graph.constant(f"{name}/attention_output/kernel", _output_kernel(graph, name))
    y = graph.node("MatMul", [attended, kernel], f"{name}/attention_output/rows")
    y = graph.node("Add", [y, graph.constant(f"{name}/attention_output/bias", bias)], f"{name}/attention_output")
    y = graph.node("Add", [y, residual], f"{name}/attention_sum")
    y = graph.layer_norm(y, f"{name}/self_attention_layer_norm", kind.epsilon, f"{name}/self_attention_layer_norm")
    inner = f"{name}/feedforward_intermediate_dense"
    z = graph.node("MatMul", [y, graph.weight(f"{inner}/kernel")], f"{inner}/rows")
    z = graph.node(kind.gelu, [z, graph.weight(f"{inner}/bias")], inner, CONTRIB)
    z = graph.dense(z, f"{name}/feedforward_output_dense", f"{name}/feedforward_output_dense")
    z = graph.node("Add", [z, y], f"{name}/feedforward_sum")
    return graph.layer_norm(z, f"{name}/feedforward_layer_norm", kind.epsilon, name)


def add_head(graph: GraphBuilder, x: str) -> str:
    """Add the classifier's head: (batch + 1, 1, width) to logits (batch, labels)."""
    first = graph.node("Squeeze", [x, graph.integers(1)], "first_token")
    pooled = graph.dense(first, "pooled_dense", "pooled_dense/linear")
    pooled = graph.node("Tanh", [pooled], "pooled_dense")
    return _drop_spare_row(graph, graph.dense(pooled, "logits", "logits/and_spare"), "logits")


def _add_spare_row(graph: GraphBuilder, x: str, name: str) -> str:
    """Add a copy of the first row after the last."""
    spare = graph.node("Slice", [x, graph.integers(0), graph.integers(1), graph.integers(0)], f"{name}/spare")
    return graph.node("Concat", [x, spare], f"{name}/and_spare", axis=0)


def _drop_spare_row(graph: GraphBuilder, x: str, output: str) -> str:
    """Drop the last row."""
    return graph.node("Slice", [x, graph.integers(0), graph.integers(-1), graph.integers(0)], output)


def _per_head(graph: GraphBuilder, x: str, heads: int, size: int, name: str, kernels: NDArray[np.float32]) -> str:
    """Multiply each head by its own matrix: x of (batch, …) with heads * size numbers a row, to (batch, heads, out)."""
    rows = graph.node("Reshape", [x, graph.integers(0, heads, size)], f"{name}/heads")
    rows = graph.node("Transpose", [rows], f"{name}/by_head", perm=[1, 0, 2])
    rows = graph.node("MatMul", [rows, graph.constant(f"{name}/kernel", kernels)], f"{name}/product")
    return graph.node("Transpose", [rows], f"{name}/by_row", perm=[1, 0, 2])


def _add_mask(graph: GraphBuilder) -> str:
    """Add the padding mask in the form that is added to scores, (batch, 1, sequence)."""
    mask = graph.node("Cast", ["padding_mask"], "mask/float", to=1)
    absent = graph.node("Sub", [graph.constant("mask/one", np.array(1, np.float32)), mask], "mask/absent")
    added = graph.node("Mul", [absent, graph.constant("mask/masked", np.array(MASKED, np.float32))], "mask/added")
    return graph.node("Unsqueeze", [added, graph.integers(1)], "mask")


def _projections(
    graph: GraphBuilder, name: str
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Return the kernels (width, width) and biases (width,) of query, key and value."""
    width = graph.value(f"{name}/feedforward_layer_norm/gamma").shape[0]
    layer = f"{name}/self_attention_layer"
    kinds = ("query", "key", "value")
    kernels = {kind: graph.value(f"{layer}/{kind}/kernel").reshape(width, width) for kind in kinds}
    return kernels, {kind: graph.value(f"{layer}/{kind}/bias").reshape(width) for kind in kinds}


def _output_kernel(graph: GraphBuilder, name: str) -> NDArray[np.float32]:
    kernel = graph.value(f"{name}/self_attention_layer/attention_output/kernel")
    return kernel.reshape(-1, kernel.shape[-1])


def _output_bias(graph: GraphBuilder, name: str) -> NDArray[np.float32]:
    return graph.value(f"{name}/self_attention_layer/attention_output/bias")


def _scaled(values: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    return (values.astype(np.float64) * scale).astype(np.float32)
