"""The int8 variant: constant scales, rows that do not depend on each other, and a gate that leaves it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from models import bert_vocabulary, make_classifier
from onnx import numpy_helper
from pairlift import Bundle, Scorer
from pairlift.errors import AgreementError
from pairlift.model.golden import replay
from pairlift.model.manifest import Origin
from pairlift_export import artefacts, int8
from pairlift_export.certificate import ArtefactParity, Gate
from pairlift_export.graphs.quantise import calibrate, quantise, token_table
from pairlift_export.job import ExportJob
from pairlift_export.parity import compare_logits, find_fault
from pairlift_training.run import LabelledPair

pytestmark = pytest.mark.keras

WORDS = [word for word in bert_vocabulary() if word.isalpha()]
TEXTS = [
    (" ".join(WORDS[i % 50 : i % 50 + 1 + i % 5]), " ".join(WORDS[(7 * i) % 37 : (7 * i) % 37 + i % 4]))
    for i in range(128)
]
PAIRS = tuple(LabelledPair(first=first, second=second, label=None) for first, second in TEXTS)
LOOSE = Gate(most_flips=1.0, most_drop=1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT, three layers deep."""
    return save_classifier(tmp_path_factory.mktemp("model") / "model.keras", "bert")


def save_classifier(path: Path, family: str) -> Path:
    """Save a model of a family, three layers deep."""
    make_classifier(family, layers=3).save(path)
    return path


def export(model: Path, stage: Path, **options: Any) -> list[str]:
    """Write the artefacts of a model."""
    stage.mkdir(exist_ok=True)
    options = {"pairs": PAIRS[:64], "calibration": PAIRS[64:], "gate": LOOSE, **options}
    job = ExportJob(
        model=str(model), stage=str(stage), labels=("yes", "maybe", "no"), fields=("x", "y"), graph="auto",
        pairs_source="test", source=Origin(name="m", model_sha256="0", dtype_policy=""), **options,
    )  # fmt: skip
    return artefacts.write_artefacts(job)


@pytest.fixture(scope="module", params=["bert", "roberta"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of each family with both variants."""
    folder = tmp_path_factory.mktemp("bundle")
    lines = export(save_classifier(folder / "model.keras", request.param), folder / "bundle")
    (folder / "said").write_text("\n".join(lines))
    return folder / "bundle"


def test_both_variants_are_listed_and_replay_their_own_probabilities(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert set(opened.manifest.variants) == {"fp32", "int8"}
    assert opened.manifest.groups["int8"][0].path == "model.int8.onnx"
    for name in ("fp32", "int8"):
        found = replay(Scorer(opened, name))
        assert (found.pairs, found.max_difference) == (64, 0.0)
    fp32, eight = Scorer(opened, "fp32").score(TEXTS), Scorer(opened, "int8").score(TEXTS)
    assert 1e-5 < np.abs(fp32 - eight).max() < 0.5


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_pair_scores_the_same_to_the_last_bit_alone_in_company_and_in_any_order(bundle: Path, variant: str) -> None:
    scorer = Scorer.open(bundle, variant)
    together = scorer.score(TEXTS)
    assert np.concatenate([scorer.score([pair]) for pair in TEXTS]).tobytes() == together.tobytes()
    assert np.concatenate([scorer.score(TEXTS[i : i + 7]) for i in range(0, 128, 7)]).tobytes() == together.tobytes()
    assert scorer.score(TEXTS[::-1])[::-1].tobytes() == together.tobytes()


def test_every_scale_is_a_constant_and_an_activation_is_quantised_once(bundle: Path) -> None:
    graph = onnx.load(bundle / "model.int8.onnx").graph
    constants = {i.name for i in graph.initializer}
    assert "DynamicQuantizeLinear" not in {node.op_type for node in graph.node}
    taken = [node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert (
        len(taken) == len(set(taken)) == 2 * 4
    )  # two layers of all tokens: attention, its output, and the two of the network
    assert all(set(node.input[1:]) <= constants for node in graph.node if node.op_type == "QuantizeLinear")
    products = [node for node in graph.node if node.op_type in ("MatMulIntegerToFloat", "QAttention")]
    assert len(products) == 8
    assert not any(node.output[0].startswith("transformer_layer_2") for node in products), (
        "rounding after the first token's products"
    )


def test_weights_have_a_scale_for_each_channel_and_embeddings_for_each_row(bundle: Path) -> None:
    graph = onnx.load(bundle / "model.int8.onnx").graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    floats = {i.name: numpy_helper.to_array(i) for i in onnx.load(bundle / "model.onnx").graph.initializer}
    name = next(name for name in values if name.endswith("token_embedding/embeddings/int8")).removesuffix("/int8")
    assert values[f"{name}/scale"].shape == (len(floats[name]), 1)
    np.testing.assert_allclose(
        values[f"{name}/int8"] * values[f"{name}/scale"], floats[name], atol=np.abs(floats[name]).max() / 253
    )
    kernel = "transformer_layer_0/feedforward_intermediate_dense/kernel"
    assert values[f"{kernel}/scale"].shape == floats[kernel].shape[1:]
    error = np.abs(values[f"{kernel}/int8"] * values[f"{kernel}/scale"] - floats[kernel])
    assert (error <= 0.501 * values[f"{kernel}/scale"]).all()


def test_a_calibrated_range_covers_what_the_pairs_gave(bundle: Path) -> None:
    from pairlift.encoding.encoder import PairEncoder

    encoder = PairEncoder(Bundle.open(bundle).encoder_record)
    ranges = calibrate(bundle / "model.onnx", [encoder.encode(TEXTS[:16]), encoder.encode(TEXTS[16:32])])
    wide = calibrate(bundle / "model.onnx", [encoder.encode(TEXTS[i : i + 16]) for i in range(0, 64, 16)])
    assert set(ranges) == set(wide)
    assert all(r.low <= 0 <= r.high and wide[n].low <= r.low and r.high <= wide[n].high for n, r in ranges.items())
    assert any(wide[n] != r for n, r in ranges.items())


def test_a_failing_gate_leaves_the_variant_out_and_says_why(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "quantise", upside_down)
    lines = export(model, tmp_path, gate=Gate(most_flips=0.25, most_drop=1.0))
    said = next(line for line in lines if line.startswith("int8 is left out: "))
    assert "labels (" in said
    assert said.endswith("expected at most 25.0% (--max-flips)")
    assert set(Bundle.open(tmp_path).manifest.variants) == {"fp32"}
    assert not (tmp_path / "model.int8.onnx").exists()
    assert json.loads((tmp_path / "parity.json").read_bytes())["left_out"]["int8"] in said


@pytest.mark.slow
def test_a_failing_gate_fails_the_export_when_int8_was_asked_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "quantise", upside_down)
    with pytest.raises(AgreementError, match=r"--int8: int8 flips \d+ of \d+ labels .* no bundle was written"):
        export(model, tmp_path, int8=True, gate=Gate(most_flips=0.25, most_drop=1.0))


def test_a_loss_of_accuracy_is_a_failing_gate(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = export(model, tmp_path / "first", int8=False)
    assert "int8 is left out: not asked for (--no-int8)" in lines
    assert not (tmp_path / "first/model.int8.onnx").exists()
    right = Scorer.open(tmp_path / "first").predict(TEXTS[:64])
    pairs = tuple(LabelledPair(first=a, second=b, label=label) for (a, b), label in zip(TEXTS[:64], right, strict=True))
    monkeypatch.setattr(int8, "quantise", upside_down)
    lines = export(model, tmp_path / "second", pairs=pairs, gate=Gate(most_flips=1.0, most_drop=0.125))
    assert any("less accurate than Keras, expected at most 12.5% (--max-drop)" in line for line in lines)


def test_a_gate_on_accuracy_without_labels_is_not_applied_and_the_export_says_so(bundle: Path) -> None:
    said = (bundle.parent / "said").read_text().splitlines()
    assert said.count("the accuracy gate was not applied: no pair has one of the model's labels") == 1
    parity = json.loads((bundle / "parity.json").read_bytes())
    assert [artefact["drop"] for artefact in parity["artefacts"].values()] == [None] * 3


def test_a_drop_is_what_keras_gets_right_and_the_variant_does_not() -> None:
    right = np.eye(4, dtype=np.float32)
    wrong = np.array([*right[:3], right[0]])
    labels, gate = ("a", "b", "c", "d"), Gate(most_flips=1.0, most_drop=0.2)

    def compare(*given: str | None) -> ArtefactParity:
        pairs = [LabelledPair(first="x", second="y", label=label) for label in given]
        return compare_logits(right, wrong, pairs, labels, gate)

    found = compare("a", "b", "c", "d")
    assert (found.accuracy, found.drop) == (0.75, 0.25)
    fault = find_fault("int8", found)
    assert fault == "int8 is 25.0% less accurate than Keras, expected at most 20.0% (--max-drop)"
    assert compare("a", "b", "c", None).drop == 0.0
    unlabelled = compare(None, None, "other", None)
    assert (unlabelled.accuracy, unlabelled.drop, find_fault("int8", unlabelled)) == (None, None, None)


@pytest.mark.slow
def test_without_pairs_there_is_nothing_to_calibrate_on(model: Path, tmp_path: Path) -> None:
    lines = export(model, tmp_path / "default", pairs=(), calibration=())
    assert any(line.startswith("int8 is left out: no pairs of your own to measure") for line in lines)
    with pytest.raises(AgreementError, match=r"--int8: no pairs of your own to measure .* add --pairs FILE"):
        export(model, tmp_path / "asked", pairs=(), calibration=(), int8=True)


@pytest.mark.slow
def test_embeddings_stay_float_when_they_are_what_is_wrong(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fragile(graph: onnx.ModelProto, ranges: Any, tables: Any) -> onnx.ModelProto:
        return upside_down(graph, ranges, tables) if tables else quantise(graph, ranges, tables)

    monkeypatch.setattr(int8, "quantise", fragile)
    export(model, tmp_path, gate=Gate(most_flips=0.25, most_drop=1.0), int8=True)
    names = {i.name for i in onnx.load(tmp_path / "model.int8.onnx").graph.initializer}
    assert token_table(onnx.load(tmp_path / "model.onnx")) in names


def upside_down(graph: onnx.ModelProto, ranges: Any, tables: Any) -> onnx.ModelProto:
    """Return the int8 graph of a model whose logits have the other sign."""
    made = quantise(graph, ranges, tables)
    for weight in made.graph.initializer:
        if weight.name in ("logits/kernel", "logits/bias"):
            weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    return made
