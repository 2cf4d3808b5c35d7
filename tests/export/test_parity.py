"""A graph that is wrong is no bundle, and the message says at which stage it is wrong."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from models import bert_vocabulary, make_classifier
from onnx import TensorProto, helper, numpy_helper
from pairlift.errors import AgreementError
from pairlift.model.manifest import Origin
from pairlift_export import artefacts
from pairlift_export.certificate import Parity
from pairlift_export.graphs import PAIRLIFT, TF2ONNX, Graph, bert, build_graph, save_graph
from pairlift_export.graphs.converter import convert_graph
from pairlift_export.job import ExportJob
from pairlift_export.reference import Reference, load_reference, short_path
from pairlift_export.stages import find_stage, run_stages
from pairlift_training.run import LabelledPair

pytestmark = pytest.mark.keras

WORDS = [word for word in bert_vocabulary() if word.isalpha()]
PAIRS = tuple(
    LabelledPair(
        first=" ".join(WORDS[i % 50 : i % 50 + 1 + i % 5]), second=" ".join(WORDS[i % 37 : i % 37 + i % 3]), label=None
    )
    for i in range(64)
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family, whose embeddings are as small as a real model's."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("bert", "roberta"):
        model = make_classifier(name)
        for weight in model.backbone.weights:
            if weight.path.endswith("embeddings"):
                weight.assign(0.05 * np.asarray(weight))
        model.save(folder / f"{name}.keras")
    return {name: folder / f"{name}.keras" for name in ("bert", "roberta")}


ROUTES = {PAIRLIFT: build_graph, TF2ONNX: convert_graph}
both_routes = pytest.mark.parametrize("route", [PAIRLIFT, pytest.param(TF2ONNX, marks=pytest.mark.slow)])
Make = Callable[[Reference], onnx.ModelProto]


def job_of(model: Path, stage: Path, **options: Any) -> ExportJob:
    """Return an export job with 64 pairs."""
    return ExportJob(
        model=str(model), stage=str(stage), labels=("yes", "maybe", "no"), fields=("x", "y"), graph="auto", pairs=PAIRS,
        pairs_source="test", source=Origin(name="m", model_sha256="0", dtype_policy=""), **options,
    )  # fmt: skip


def export_wrong(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, route: str) -> str:
    """Export with another maker of the graph, and return the message of the failure."""
    monkeypatch.setattr(artefacts, "make_graph", lambda reference, _: Graph(model=make(reference), route=route))
    with pytest.raises(AgreementError) as error:
        artefacts.write_artefacts(job_of(model, tmp_path))
    assert not (tmp_path / "parity.json").exists()
    return str(error.value)


def with_weights(model: Path, route: str, change: Callable[[dict[str, Any]], None]) -> Make:
    """Return a maker of the graph of a model whose Keras variables were changed."""

    def make(_: Reference) -> onnx.ModelProto:
        other = load_reference(model)
        change({short_path(weight.path): weight for weight in other.classifier.weights})
        return ROUTES[route](other)

    return make


def with_layers(model: Path, change: Callable[[Any], None]) -> Make:
    """Return a converter of a model whose Keras layers were changed."""

    def make(_: Reference) -> onnx.ModelProto:
        other = load_reference(model)
        change(other.classifier.backbone)
        return convert_graph(other)

    return make


def stage_of(message: str) -> str:
    """Return the stage that a message names."""
    found = re.search(
        r"the first stage that disagrees is (\w+), where the relative difference jumps from (\S+) to ([^ ;]+)", message
    )
    assert found, message
    assert float(found[2]) < 2e-5 < float(found[3])
    assert message.startswith("parity failed: fp32 is ")
    assert message.endswith("no bundle was written")
    return found[1]


@both_routes
def test_a_transposed_projection_is_found_in_its_layer(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    def transpose(weights: dict[str, Any]) -> None:
        kernel = weights["transformer_layer_1/self_attention_layer/query/kernel"]
        kernel.assign(np.asarray(kernel).reshape(8, 8).T.reshape(kernel.shape))

    message = export_wrong(
        models["roberta"], tmp_path, monkeypatch, with_weights(models["roberta"], route, transpose), route
    )
    assert stage_of(message) == "transformer_layer_1"


def test_a_wrong_epsilon_is_found_in_the_embeddings(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def robertas(backbone: Any) -> None:
        norm = backbone.get_layer("embeddings_layer_norm")
        assert norm.epsilon == 1e-12
        norm.epsilon = 1e-5

    message = export_wrong(models["bert"], tmp_path, monkeypatch, with_layers(models["bert"], robertas), TF2ONNX)
    assert stage_of(message) == "embeddings_layer_norm"


def test_a_wrong_epsilon_of_the_built_graph_is_found_in_the_embeddings(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert, "EPSILON", 1e-5)
    message = export_wrong(models["bert"], tmp_path, monkeypatch, build_graph, PAIRLIFT)
    assert stage_of(message) == "embeddings_layer_norm"


@both_routes
def test_exchanged_segment_ids_are_found_in_the_embeddings(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    def exchange(weights: dict[str, Any]) -> None:
        table = weights["segment_embedding/embeddings"]
        table.assign(np.asarray(table)[::-1])

    message = export_wrong(models["bert"], tmp_path, monkeypatch, with_weights(models["bert"], route, exchange), route)
    assert stage_of(message) == "embeddings_layer_norm"


@both_routes
def test_a_missing_mask_is_found_in_the_first_layer(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    def unmasked(reference: Reference) -> onnx.ModelProto:
        model = ROUTES[route](reference)
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = "no_mask" if name == "padding_mask" else name
        one = numpy_helper.from_array(np.array([1], np.int32))
        nodes = [
            helper.make_node("Shape", ["padding_mask"], ["mask_shape"]),
            helper.make_node("ConstantOfShape", ["mask_shape"], ["no_mask"], value=one),
        ]
        for node in reversed(nodes):
            model.graph.node.insert(0, node)
        return model

    message = export_wrong(models["bert"], tmp_path, monkeypatch, unmasked, route)
    assert stage_of(message) == "transformer_layer_0"


@both_routes
def test_swapped_labels_are_found_in_the_logits_with_their_order(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    def swap(weights: dict[str, Any]) -> None:
        for name in ("logits/kernel", "logits/bias"):
            weights[name].assign(np.asarray(weights[name])[..., [1, 0, 2]])

    message = export_wrong(
        models["roberta"], tmp_path, monkeypatch, with_weights(models["roberta"], route, swap), route
    )
    assert stage_of(message) == "logits"
    assert "its outputs are Keras' in the order 1, 0, 2" in message


def test_exact_instead_of_tanh_gelu_is_found_in_the_first_layer(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exact(backbone: Any) -> None:
        for layer in backbone.transformer_layers:
            layer._feedforward_intermediate_dense.activation = lambda x: keras.activations.gelu(x, approximate=False)

    message = export_wrong(models["bert"], tmp_path, monkeypatch, with_layers(models["bert"], exact), TF2ONNX)
    assert stage_of(message) == "transformer_layer_0"


def test_exact_gelu_in_the_built_graph_is_found_in_the_first_layer(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = bert.layer_kind
    monkeypatch.setattr(bert, "layer_kind", lambda heads: dataclasses.replace(right(heads), gelu="BiasGelu"))
    message = export_wrong(models["bert"], tmp_path, monkeypatch, build_graph, PAIRLIFT)
    assert stage_of(message) == "transformer_layer_0"


@both_routes
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_stage_of_a_right_graph_is_named_and_agrees(
    models: dict[str, Path], family: str, route: str, tmp_path: Path
) -> None:
    reference = load_reference(models[family])
    save_graph(ROUTES[route](reference), tmp_path / "model.onnx")
    arrays = reference.encode([(pair.first, pair.second) for pair in PAIRS])
    stages = ["embeddings_layer_norm", "transformer_layer_0", "transformer_layer_1", "pooled_dense", "logits"]
    assert list(reference.stages(arrays)) == stages
    assert list(run_stages(tmp_path / "model.onnx", stages, arrays)) == stages
    found = find_stage(reference, tmp_path / "model.onnx", arrays)
    assert found.layer == "batching"
    assert found.after < 1e-5


def test_a_row_that_depends_on_its_neighbours_is_no_bundle(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_batch_maximum(reference: Reference) -> onnx.ModelProto:
        model = build_graph(reference)
        last = next(node for node in model.graph.node if "logits" in node.output)
        last.output[0] = "own"
        scale = numpy_helper.from_array(np.array([1e-5, 0, 0], np.float32), "scale")
        model.graph.initializer.append(scale)
        model.graph.node.extend(
            [
                helper.make_node("ReduceMax", ["own"], ["largest"], axes=[0], keepdims=1),
                helper.make_node("Mul", ["largest", "scale"], ["neighbours"]),
                helper.make_node("Add", ["own", "neighbours"], ["logits"]),
            ]
        )
        assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        return model

    monkeypatch.setattr("pairlift_export.parity.PROBABILITY_TOLERANCE", 1.0)
    message = export_wrong(models["bert"], tmp_path, monkeypatch, add_batch_maximum, PAIRLIFT)
    assert re.search(r"a row's probabilities in fp32 move by \S+ alone, expected at most 1e-06", message)


def test_a_built_graph_that_tf2onnx_contradicts_is_no_bundle(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halve(weights: dict[str, Any]) -> None:
        weights["logits/kernel"].assign(0.5 * np.asarray(weights["logits/kernel"]))

    wrong = with_weights(models["bert"], TF2ONNX, halve)
    monkeypatch.setattr("pairlift_export.proof.convert_graph", wrong)
    with pytest.raises(AgreementError, match=r"tf2onnx's graph differs from the one built from the weights by \S+ in"):
        artefacts.write_artefacts(job_of(models["bert"], tmp_path))


def test_wrong_token_ids_are_found_before_the_graph(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = artefacts.read_keras_preprocessor

    def cased(preprocessor: Any) -> Any:
        import dataclasses

        found = read(preprocessor)
        return dataclasses.replace(found, tokenizer=dataclasses.replace(found.tokenizer, lowercase=False))

    monkeypatch.setattr(artefacts, "read_keras_preprocessor", cased)
    message = export_wrong(models["bert"], tmp_path, monkeypatch, build_graph, PAIRLIFT)
    assert re.match(
        r"parity failed at the tokens: \d+ of \d+ pairs have token_ids that differ from KerasHub's, first '", message
    )


def test_the_certificate_reads_back_whole(tmp_path: Path, models: dict[str, Path]) -> None:
    from pairlift import record

    artefacts.write_artefacts(job_of(models["bert"], tmp_path))
    data = (tmp_path / "parity.json").read_bytes()
    parity = record.load(Parity, data, "parity.json")
    assert record.dump(parity) == data
    fp32 = parity.artefacts["fp32"]
    assert fp32.variant is not None
    assert {(s.batch, s.length) for s in fp32.variant.shapes} == {(b, n) for b in (1, 2, 7, 32) for n in (3, 5, 16)}
    assert max(s.max for s in fp32.variant.shapes) < 1e-5
    assert max(fp32.variant.invariance.alone, fp32.variant.invariance.order, fp32.variant.invariance.padding) <= 1e-6
    assert len(fp32.differences) == len(parity.margins) == parity.pairs
    assert max(fp32.differences) == pytest.approx(fp32.probabilities.max, rel=1e-2)
    assert json.loads(data)["onnxruntime_build"]
    assert parity.cpu
    assert parity.time.endswith("Z")
