"""The contents of a bundle: its manifest, and every file by group."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path

from pairlift import record
from pairlift.choices import FP32, INT8
from pairlift.digest import FileDigest, digest_file
from pairlift.encoding.encoder import EncoderRecord
from pairlift.machine import read_cpu
from pairlift.model.manifest import MANIFEST, PROOF, RUNTIME, SAVED_MODEL, TOKENIZER, GraphInput, Manifest, Variant
from pairlift.version import read_versions
from pairlift_export.job import ExportJob
from pairlift_export.parity import PROBABILITY_TOLERANCE
from pairlift_export.reference import Reference

FILES = {FP32: "model.onnx", INT8: "model.int8.onnx"}
# The tolerance of golden pairs on another machine. In the int8 variant, a float that differs in the last bit may be
# rounded to the neighbouring step, which changed a probability by at most 7e-3 (docs/performance.md).
REPLAY_TOLERANCE = {FP32: PROBABILITY_TOLERANCE, INT8: 2e-2}
PACKAGES = (
    "keras",
    "keras-hub",
    "tensorflow",
    "tensorflow-text",
    "onnx",
    "tf2onnx",
    "onnxruntime",
    "tokenizers",
    "numpy",
)


def draft_manifest(job: ExportJob, reference: Reference, encoder: EncoderRecord) -> Manifest:
    """Return the manifest of a bundle that has no variant yet."""
    return Manifest(
        architecture=type(reference.classifier).__name__,
        labels=job.labels,
        fields=job.fields,
        activation="softmax",
        packing=encoder.packing,
        inputs=tuple(GraphInput(name=name, dtype="int32") for name in reference.inputs),
        output="logits",
        variants={},
        versions=read_versions(PACKAGES) | {"python": platform.python_version()},
        source=dataclasses.replace(job.source, dtype_policy=reference.dtype_policy),
        groups={},
    )


def add_variant(
    manifest: Manifest, name: str, graph: str, max_probability_difference: float = 0.0, pairs: int = 0
) -> Manifest:
    """Return the manifest with one more variant, or with new figures for a variant."""
    variant = Variant(
        file=FILES[name],
        graph=graph,
        max_probability_difference=max_probability_difference,
        tolerance=REPLAY_TOLERANCE[name],
        pairs=pairs,
        cpu=read_cpu(),
    )
    return dataclasses.replace(manifest, variants={**manifest.variants, name: variant})


def write_manifest(stage: Path, manifest: Manifest) -> Manifest:
    """List the files of a directory in its manifest, write and return it. Files already listed are not hashed again."""
    groups: dict[str, list[FileDigest]] = {
        RUNTIME: [],
        PROOF: [],
        SAVED_MODEL: [],
        **{n: [] for n in manifest.variants},
    }
    of_file = {variant.file: name for name, variant in manifest.variants.items()}
    known = {digest.path: digest for files in manifest.groups.values() for digest in files}
    for path in sorted(p for p in stage.rglob("*") if p.is_file() and p != stage / MANIFEST):
        name = path.relative_to(stage).as_posix()
        if name == TOKENIZER:
            group = RUNTIME
        elif name.startswith(f"{SAVED_MODEL}/"):
            group = SAVED_MODEL
        else:
            group = of_file.get(name, PROOF)
        groups[group].append(known.get(name) or digest_file(stage, path))
    listed = dataclasses.replace(manifest, groups={name: tuple(files) for name, files in groups.items() if files})
    (stage / MANIFEST).write_bytes(record.dump(listed))
    return listed
