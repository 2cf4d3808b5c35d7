"""Graphs: built from the weights for the families that have a file here, converted by tf2onnx for the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx
from pairlift.errors import AgreementError
from pairlift_export.graphs import bert, roberta
from pairlift_export.graphs.builder import GraphBuilder
from pairlift_export.graphs.converter import convert_graph
from pairlift_export.graphs.layers import add_first_token_layer, add_head, add_layer
from pairlift_export.reference import Reference, short_path

PAIRLIFT = "pairlift"
TF2ONNX = "tf2onnx"
FAMILIES = {"BertTextClassifier": bert, "RobertaTextClassifier": roberta}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A float32 graph, and how it was made: `pairlift` or `tf2onnx`."""

    model: onnx.ModelProto
    route: str


def make_graph(reference: Reference, wanted: str) -> Graph:
    """Return the graph of a classifier: inputs int32 (batch, sequence), output `logits` (batch, labels).

    Args:
        reference: The classifier.
        wanted: `tf2onnx`, or `auto` for the graph from the weights if the family has one.
    """
    if wanted == TF2ONNX or type(reference.classifier).__name__ not in FAMILIES:
        return Graph(model=convert_graph(reference), route=TF2ONNX)
    return Graph(model=build_graph(reference), route=PAIRLIFT)


def build_graph(reference: Reference) -> onnx.ModelProto:
    """Build the graph of a classifier from its weights."""
    classifier = reference.classifier
    family: Any = FAMILIES[type(classifier).__name__]
    graph = GraphBuilder({short_path(v.path): v for v in classifier.weights})
    kind = family.layer_kind(classifier.backbone.num_heads)
    x = family.add_embeddings(graph)
    layers = [f"transformer_layer_{i}" for i in range(classifier.backbone.num_layers)]
    for layer in layers[:-1]:
        x = add_layer(graph, kind, layer, x)
    x = add_first_token_layer(graph, kind, layers[-1], x)
    add_head(graph, x)
    return graph.close(reference.inputs, classifier.num_classes)


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph.

    Raises:
        AgreementError: It is not valid ONNX.
    """
    path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise AgreementError(f"{path.name} is not valid ONNX: {str(error).strip().splitlines()[0]}") from error
