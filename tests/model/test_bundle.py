"""A bundle that is not what was exported is refused before anything in it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pairlift import Bundle, Scorer
from pairlift.errors import BundleError, InputError


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Return the manifest."""
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return manifest


def edit(bundle: Path, **changes: object) -> None:
    """Change fields of the manifest."""
    (bundle / "manifest.json").write_text(json.dumps({**read_manifest(bundle), **changes}))


def test_the_committed_bundle_opens_and_is_under_100_kb(bundle: Path) -> None:
    assert Bundle.open(bundle).manifest.labels == ("entailment", "neutral", "contradiction")
    assert sum(path.stat().st_size for path in bundle.iterdir()) < 100_000


def test_the_small_bundle_passes_its_own_hashes_without_its_saved_model(bundle: Path) -> None:
    assert Bundle.open(bundle).verify_files() == 4


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_byte_is_refused(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: altered since the export"):
        Scorer.open(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: missing"):
        Scorer.open(bundle)


def test_an_unlisted_file_is_refused(bundle: Path) -> None:
    (bundle / "extra.so").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra\.so: not listed in manifest\.json"):
        Bundle.open(bundle)


def test_a_symbolic_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (bundle / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match="a symbolic link"):
        Bundle.open(bundle)


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a/../../b"])
def test_a_path_out_of_the_bundle_is_refused(bundle: Path, path: str) -> None:
    edit(bundle, groups={"runtime": [{"path": path, "size": 1, "sha256": "0"}]})
    with pytest.raises(BundleError, match="a path outside the bundle"):
        Bundle.open(bundle)


def test_a_manifest_from_the_future_names_the_version_to_install(bundle: Path) -> None:
    edit(bundle, format=99, versions={"pairlift": "7.0"})
    with pytest.raises(BundleError, match=r"written in format 99.*install pairlift 7\.0 or newer"):
        Bundle.open(bundle)


def test_labels_that_do_not_fit_the_graph_are_refused(bundle: Path) -> None:
    edit(bundle, labels=["a", "b"])
    with pytest.raises(BundleError, match=r"shape \(1, 3\), expected \(1, 2\)"):
        Scorer.open(bundle).score([("a", "b")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a", "a"]}, "two or more different names"),
        ({"fields": ["a"]}, "two different names"),
        ({"activation": "sigmoid"}, "expected 'softmax'"),
        ({"variants": {}}, "lists no variant"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(bundle: Path, change: dict[str, object], message: str) -> None:
    edit(bundle, **change)
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle)


@pytest.mark.parametrize("truncation", ["nonsense", "", "WATERFALL"])
def test_a_truncation_that_nobody_knows_is_refused(bundle: Path, truncation: str) -> None:
    edit(bundle, packing={**read_manifest(bundle)["packing"], "truncation": truncation})
    message = f"packing: truncation: found '{truncation}', expected 'round_robin' or 'waterfall'"
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle)


@pytest.mark.parametrize("truncation", ["round_robin", "waterfall"])
def test_both_truncations_are_known(bundle: Path, truncation: str) -> None:
    edit(bundle, packing={**read_manifest(bundle)["packing"], "truncation": truncation})
    assert Bundle.open(bundle).manifest.packing.truncation == truncation


def test_a_keras_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match="expected a bundle directory; make one with: pairlift export"):
        Bundle.open(tmp_path / "m.keras")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no manifest\.json"):
        Bundle.open(tmp_path)
