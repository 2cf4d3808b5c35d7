"""BERT: token, segment and position embeddings, tanh GELU.

Source: keras_hub.models.BertBackbone and BertTextClassifier (keras-hub 0.32); Devlin et al., 2019.
"""

from __future__ import annotations

from pairlift_export.graphs.builder import GraphBuilder
from pairlift_export.graphs.layers import LayerKind

EPSILON = 1e-12


def layer_kind(heads: int) -> LayerKind:
    """Return the properties of BERT's layers."""
    return LayerKind(heads=heads, epsilon=EPSILON, gelu="FastGelu")


def add_embeddings(graph: GraphBuilder) -> str:
    """Add the embeddings and their norm: token ids and segment ids (batch, sequence) to (batch, sequence, width)."""
    tokens = graph.node("Gather", [graph.weight("token_embedding/embeddings"), "token_ids"], "token_embedding")
    segments = graph.node("Gather", [graph.weight("segment_embedding/embeddings"), "segment_ids"], "segment_embedding")
    length = graph.node("Shape", ["token_ids"], "length", start=1, end=2)
    table = graph.weight("position_embedding/embeddings")
    positions = graph.node("Slice", [table, graph.integers(0), length, graph.integers(0)], "position_embedding")
    x = graph.node("Add", [tokens, segments], "embeddings/segments")
    x = graph.node("Add", [x, positions], "embeddings/positions")
    return graph.layer_norm(x, "embeddings_layer_norm", EPSILON, "embeddings_layer_norm")
