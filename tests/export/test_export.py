"""An export is a bundle that agrees with Keras on raw text, or no bundle."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from conftest import Run, run_pairlift
from models import make_classifier, raw_text_logits, save_classifier
from pairlift import Scorer
from pairlift.model.scorer import softmax
from pairlift_export.hard import hard_pairs

pytestmark = pytest.mark.keras

NAMES = ("--labels", "entailment,neutral,contradiction", "--fields", "hypothesis,premise")
PAIRS = [(pair.first, pair.second) for pair in hard_pairs() if "\0" not in pair.first + pair.second][::2]


def nothing_left(folder: Path, *kept: str) -> bool:
    """Whether a failed export left nothing behind."""
    return sorted(path.name for path in folder.iterdir()) == sorted(kept)


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export that went well: the model in memory, its bundle, and what the command printed."""

    model: Any
    bundle: Path
    output: str


@pytest.fixture(scope="module", params=["bert", "roberta"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A classifier of each family, exported with pairs of the user's in SNLI's columns."""
    folder = tmp_path_factory.mktemp("export")
    model = save_classifier(folder / "model.keras", request.param)
    lines = [{"sentence1": f"the dog runs {i}", "sentence2": "a cat", "gold_label": "neutral"} for i in range(600)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run_pairlift("export", folder / "model.keras", folder / "bundle", *NAMES, "--pairs", folder / "mine.jsonl")
    assert done.returncode == 0, done.stderr
    return Exported(model, folder / "bundle", done.stdout)


def test_raw_text_scores_are_keras_own(exported: Exported) -> None:
    scores = Scorer.open(exported.bundle).score(PAIRS)
    expected = softmax(raw_text_logits(exported.model, PAIRS))
    assert np.ptp(expected, axis=0).max() > 0.3, "a model whose answers are all alike would prove nothing"
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_graph_has_named_axes_and_gives_logits(exported: Exported) -> None:
    graph = onnx.load(exported.bundle / "model.onnx").graph
    segments = {"segment_ids"} if "segment_ids" in exported.model.input else set()
    assert {i.name for i in graph.input} == {"token_ids", "padding_mask"} | segments
    for value in graph.input:
        assert [d.dim_param for d in value.type.tensor_type.shape.dim] == ["batch", "sequence"]
    assert [o.name for o in graph.output] == ["logits"]
    assert [d.dim_param or d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == ["batch", 3]


def test_each_weight_is_in_the_file_once(exported: Exported) -> None:
    weights = sum(4 * int(np.prod(w.shape)) for w in exported.model.weights if "seed" not in w.path)
    initializers = onnx.load(exported.bundle / "model.onnx").graph.initializer
    assert weights <= sum(len(i.raw_data) for i in initializers) < weights + 2000


def test_the_certificate_covers_the_users_pairs_and_the_hard_ones(exported: Exported) -> None:
    parity = json.loads((exported.bundle / "parity.json").read_text())
    assert parity["tokens"]["equal"] == parity["tokens"]["compared"]
    assert (parity["pairs_source"], parity["pairs"] - parity["hard_pairs"]) == ("mine.jsonl", 256)
    assert (parity["hard_pairs"], parity["tokens"]["compared"]) == (128, 256 + len(hard_pairs()))
    assert (
        parity["keras_accuracy"]
        == parity["artefacts"]["fp32"]["accuracy"]
        == parity["artefacts"]["saved_model"]["accuracy"]
    )
    assert (
        f"token ids: {parity['tokens']['equal']} of {parity['tokens']['compared']} pairs equal to KerasHub's"
        in exported.output
    )


def test_the_manifest_lists_every_file(exported: Exported) -> None:
    manifest = json.loads((exported.bundle / "manifest.json").read_text())
    assert manifest["packing"]["sequence_length"] == 16
    assert set(manifest["groups"]) == {"runtime", "fp32", "int8", "proof", "saved_model"}
    listed = {file["path"] for files in manifest["groups"].values() for file in files}
    there = {p.relative_to(exported.bundle).as_posix() for p in exported.bundle.rglob("*") if p.is_file()}
    assert there == listed | {"manifest.json"}


def test_integer_labels_are_measured_and_rows_left_out_are_said(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model.keras")
    pairs = PAIRS[:40]
    truth = raw_text_logits(model, pairs).argmax(axis=1)
    truth[::4] = (truth[::4] + 1) % 3  # a quarter is not what Keras says
    rows = [{"x": a, "y": b, "class": int(label)} for (a, b), label in zip(pairs, truth, strict=True)]
    rows += [{"x": "a man", "y": "a dog", "class": None}, {"x": None, "y": "a cat", "class": 1}]
    lines = [json.dumps(row) for row in rows] + ["{broken"] * 20
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    done = run_pairlift(
        "export", tmp_path / "model.keras", tmp_path / "bundle", "--labels", "0,1,2", "--fields", "x,y", "--no-int8",
        "--pairs", tmp_path / "pairs.jsonl", "--label", "class",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "accuracy on the labelled pairs: Keras 0.7500, fp32 0.7500" in said
    assert "pairs.jsonl: 21 rows left out: bad_json 20, not_text 1" in said
    parity = json.loads((tmp_path / "bundle/parity.json").read_text())
    assert (parity["pairs"] - parity["hard_pairs"], parity["labelled_pairs"]) == (41, 40)
    assert parity["rows_left_out"] == {"bad_json": 20, "not_text": 1}
    assert parity["artefacts"]["fp32"]["drop"] == 0.0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ("--pairs", "pairs.jsonl"),
            3,
            "pairs.jsonl: unknown label '7' in 2 rows, expected one of entailment, neutral",
        ),
        (
            ("--pairs", "pairs.jsonl", "--label", "class"),
            2,
            "no label column 'class'; found premise, hypothesis, label;",
        ),
        (("--label", "class"), 2, "--label class: names a column of --pairs FILE, and there is none; add --pairs"),
        (
            ("--pairs", "broken.jsonl"),
            3,
            "no pair that can be scored (2 rows left out: bad_json 2); expected rows with",
        ),
    ],
)
def test_pairs_that_cannot_be_used_are_named(
    pairlift: Run, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    save_classifier(tmp_path / "model.keras")
    row = {"premise": "a", "hypothesis": "b", "label": 7}
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(2)))
    (tmp_path / "broken.jsonl").write_text("{broken\n" * 2)
    done = pairlift("export", "model.keras", "bundle", *NAMES, *options, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert message in done.stderr
    assert nothing_left(tmp_path, "model.keras", "pairs.jsonl", "broken.jsonl")


def test_a_bfloat16_file_with_a_softmax_head_gives_float32_logits(pairlift: Run, tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model.keras", dtype="mixed_bfloat16", activation="softmax")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "bundle/manifest.json").read_text())["source"]["dtype_policy"] == "mixed_bfloat16"
    exact = make_classifier(activation="softmax")
    exact.set_weights(model.get_weights())
    scores = Scorer.open(tmp_path / "bundle").score(PAIRS)
    np.testing.assert_allclose(scores, raw_text_logits(exact, PAIRS), atol=1e-5)


def test_another_activation_is_refused(pairlift: Run, tmp_path: Path) -> None:
    save_classifier(tmp_path / "model.keras", activation="sigmoid")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES)
    assert done.returncode == 3
    assert "the head's activation is 'sigmoid', expected none or softmax" in done.stderr
    assert nothing_left(tmp_path, "model.keras")


def spoil(path: Path, **changes: Any) -> None:
    """Write a zip that says it is a model of another class."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(changes))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.keras", None, "no such file; expected a run directory or a .keras file"),
        ("text.keras", b"hello", "not a .keras file but something else"),
        ("old.h5", b"\x89HDF\r\n\x1a\n", "not a .keras file but HDF5, the old .h5 format"),
        ("cut.keras", b"PK\x03\x04" + b"\0" * 100, "a .keras file that is cut off (104 bytes"),
    ],
)
def test_what_is_not_a_model_is_refused(
    pairlift: Run, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = pairlift("export", tmp_path / name, tmp_path / "bundle", *NAMES)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert message in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_truncated_model_is_refused(pairlift: Run, tmp_path: Path) -> None:
    save_classifier(tmp_path / "whole.keras")
    data = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(data[: len(data) // 2])
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES)
    assert done.returncode == 3
    assert "cut off" in done.stderr


def test_another_architecture_is_refused(pairlift: Run, tmp_path: Path) -> None:
    spoil(tmp_path / "model.keras", class_name="GemmaCausalLM", config={})
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES)
    assert done.returncode == 3
    assert "holds a GemmaCausalLM; supported are KerasHub's BertTextClassifier and RobertaTextClassifier" in done.stderr


def test_a_plain_keras_model_is_refused(pairlift: Run, tmp_path: Path) -> None:
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "model.keras")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES)
    assert done.returncode == 3
    assert "holds a Sequential" in done.stderr


def test_a_file_without_names_asks_for_them(pairlift: Run, tmp_path: Path) -> None:
    save_classifier(tmp_path / "model.keras")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle")
    assert done.returncode == 2
    assert "add --labels and --fields, in model order" in done.stderr


def test_another_number_of_labels_is_refused(pairlift: Run, tmp_path: Path) -> None:
    save_classifier(tmp_path / "model.keras")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", "--labels", "yes,no", "--fields", "a,b")
    assert done.returncode == 2
    assert "the head has 3 outputs, found 2 labels (yes, no)" in done.stderr


def test_a_strangers_directory_is_never_replaced(pairlift: Run, tmp_path: Path) -> None:
    save_classifier(tmp_path / "model.keras")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/precious").write_text("x")
    done = pairlift("export", tmp_path / "model.keras", tmp_path / "bundle", *NAMES, "--force")
    assert done.returncode == 7
    assert "holds no manifest.json, so pairlift does not replace it" in done.stderr
    assert (tmp_path / "bundle/precious").read_text() == "x"


WRONG_GRAPH = """
import numpy, onnx
from pairlift.jobs.child import serve_parent
from pairlift_export import artefacts
from pairlift_export.job import ExportJob
from pairlift_export.worker import work
make = artefacts.make_graph
def wrong(reference, wanted):
    graph = make(reference, wanted)
    for weight in graph.model.graph.initializer:
        if weight.name.endswith("logits/kernel"):
            values = onnx.numpy_helper.to_array(weight)[:, ::-1].copy()
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return graph
artefacts.make_graph = wrong
serve_parent(ExportJob, work)
"""


def test_a_graph_that_disagrees_is_no_bundle(tmp_path: Path) -> None:
    from pairlift.errors import AgreementError
    from pairlift.jobs.child import run_child
    from pairlift.model.manifest import Origin
    from pairlift_export.export import ENVIRONMENT
    from pairlift_export.job import ExportJob

    save_classifier(tmp_path / "model.keras")
    (tmp_path / "stage").mkdir()
    (tmp_path / "wrong_graph.py").write_text(WRONG_GRAPH)
    job = ExportJob(
        model=str(tmp_path / "model.keras"), stage=str(tmp_path / "stage"), labels=("a", "b", "c"), fields=("x", "y"), graph="auto",
        pairs=(), pairs_source="none given", source=Origin(name="m", model_sha256="0", dtype_policy=""),
    )  # fmt: skip
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with pytest.raises(AgreementError, match=r"parity failed: fp32 is .*expected at most 1e-05"):
        run_child("wrong_graph", job, "the export process", environment)
