"""RoBERTa: token and position embeddings, positions from 0, exact GELU.

Source: keras_hub.models.RobertaBackbone and RobertaTextClassifier (keras-hub 0.32); Liu et al., 2019.
"""

from __future__ import annotations

from pairlift_export.graphs.builder import GraphBuilder
from pairlift_export.graphs.layers import LayerKind

EPSILON = 1e-5


def layer_kind(heads: int) -> LayerKind:
    """Return the properties of RoBERTa's layers."""
    return LayerKind(heads=heads, epsilon=EPSILON, gelu="BiasGelu")


def add_embeddings(graph: GraphBuilder) -> str:
    """Add the embeddings and their norm: token ids (batch, sequence) to (batch, sequence, width)."""
    tokens = graph.node(
        "Gather", [graph.weight("embeddings/token_embedding/embeddings"), "token_ids"], "token_embedding"
    )
    length = graph.node("Shape", ["token_ids"], "length", start=1, end=2)
    table = graph.weight("embeddings/position_embedding/embeddings")
    positions = graph.node("Slice", [table, graph.integers(0), length, graph.integers(0)], "position_embedding")
    x = graph.node("Add", [tokens, positions], "embeddings")
    return graph.layer_norm(x, "embeddings_layer_norm", EPSILON, "embeddings_layer_norm")
