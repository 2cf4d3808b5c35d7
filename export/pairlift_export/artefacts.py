"""The artefacts of a bundle: written, compared with Keras through the production scorer, and listed."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairlift import record
from pairlift.bundle import Bundle
from pairlift.digest import FileDigest, digest_file
from pairlift.encoder import EncoderRecord, PairEncoder, read_keras_preprocessor
from pairlift.golden import GoldenPair, dump_golden
from pairlift.manifest import (
    GOLDEN,
    MANIFEST,
    PARITY,
    PROOF,
    RUNTIME,
    SAVED_MODEL,
    TOKENIZER,
    GraphInput,
    Manifest,
    Variant,
)  # fmt: skip
from pairlift.scorer import Scorer, softmax
from pairlift.version import __version__
from pairlift_export.converter import write_onnx
from pairlift_export.hard import hard_pairs
from pairlift_export.job import ExportJob, ProofPair
from pairlift_export.parity import (
    PROBABILITY_TOLERANCE,
    ArtefactParity,
    Parity,
    accuracy,
    check_artefact,
    compare_logits,
    compare_tokens,
)  # fmt: skip
from pairlift_export.reference import Reference, load_reference
from pairlift_export.saved_model import run_saved_model, write_saved_model

FP32 = "fp32"
MODEL_FILE = "model.onnx"
GOLDEN_PAIRS = 64
COMPANION_PAIRS = 64
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


def write_artefacts(job: ExportJob) -> list[str]:
    """Fill the job's directory with a bundle that agrees with Keras, and return what to say of it.

    Raises:
        AgreementError: Something disagrees.
        InputError: The model cannot be loaded or is not supported.
    """
    stage = Path(job.stage)
    reference = load_reference(Path(job.model))
    encoder = read_keras_preprocessor(reference.preprocessor)
    (stage / TOKENIZER).write_bytes(record.dump(encoder.tokenizer))
    write_onnx(reference, stage / MODEL_FILE)
    write_saved_model(reference, stage / SAVED_MODEL)
    manifest = _draft(job, reference, encoder)
    _write_manifest(stage, manifest)

    pairs = (*job.pairs, *hard_pairs())
    texts = [(pair.first, pair.second) for pair in pairs]
    arrays = reference.encode(texts)
    expected = reference.logits(arrays)
    tokens = compare_tokens(arrays, PairEncoder(encoder).encode(texts, encoder.packing.sequence_length), texts)
    scorer = Scorer(Bundle.open(stage), FP32)
    found = scorer.logits(texts)
    results = {
        SAVED_MODEL: compare_logits(expected, run_saved_model(stage / SAVED_MODEL, arrays), pairs, job.labels),
        FP32: compare_logits(expected, found, pairs, job.labels, _companions(scorer, texts)),
    }
    for name, result in results.items():
        check_artefact(name, result)
    parity = Parity(
        pairs=len(pairs),
        pairs_source=job.pairs_source,
        hard_pairs=len(pairs) - len(job.pairs),
        keras_accuracy=accuracy(expected.argmax(axis=1), pairs, job.labels),
        tokens=tokens,
        artefacts=results,
        model_sha256=job.source.model_sha256,
        cpu=read_cpu(),
        versions=manifest.versions,
    )
    (stage / PARITY).write_bytes(record.dump(parity))
    golden = _golden(scorer, pairs, expected, found)
    (stage / GOLDEN).write_bytes(dump_golden(golden))
    scorer.close()
    variant = dataclasses.replace(
        manifest.variants[FP32], max_probability_difference=results[FP32].probabilities.max, pairs=len(pairs)
    )
    _write_manifest(stage, dataclasses.replace(manifest, variants={FP32: variant}))
    return _describe(job, parity, results[FP32], stage)


def read_cpu() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _draft(job: ExportJob, reference: Reference, encoder: EncoderRecord) -> Manifest:
    versions = {"pairlift": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    variant = Variant(
        file=MODEL_FILE,
        graph="tf2onnx",
        max_probability_difference=0.0,
        tolerance=PROBABILITY_TOLERANCE,
        pairs=0,
        cpu=read_cpu(),
    )
    return Manifest(
        architecture=type(reference.classifier).__name__,
        labels=job.labels,
        fields=job.fields,
        activation="softmax",
        packing=encoder.packing,
        inputs=tuple(GraphInput(name=name, dtype="int32") for name in reference.inputs),
        output="logits",
        variants={FP32: variant},
        versions=versions,
        source=dataclasses.replace(job.source, dtype_policy=reference.dtype_policy),
        groups={},
    )


def _write_manifest(stage: Path, manifest: Manifest) -> None:
    groups: dict[str, list[FileDigest]] = {
        RUNTIME: [],
        PROOF: [],
        SAVED_MODEL: [],
        **{name: [] for name in manifest.variants},
    }
    of_file = {variant.file: name for name, variant in manifest.variants.items()}
    for path in sorted(p for p in stage.rglob("*") if p.is_file() and p != stage / MANIFEST):
        digest = digest_file(stage, path)
        if digest.path == TOKENIZER:
            group = RUNTIME
        elif digest.path.startswith(f"{SAVED_MODEL}/"):
            group = SAVED_MODEL
        else:
            group = of_file.get(digest.path, PROOF)
        groups[group].append(digest)
    listed = {name: tuple(files) for name, files in groups.items() if files}
    (stage / MANIFEST).write_bytes(record.dump(dataclasses.replace(manifest, groups=listed)))


def _companions(scorer: Scorer, texts: list[tuple[str, str]]) -> float:
    chosen = texts[:: max(1, len(texts) // COMPANION_PAIRS)]
    together = scorer.score(chosen)
    alone = np.concatenate([scorer.score([pair]) for pair in chosen])
    backwards = scorer.score(chosen[::-1])[::-1]
    return float(max(np.abs(together - alone).max(), np.abs(together - backwards).max()))


def _golden(
    scorer: Scorer, pairs: tuple[ProofPair, ...], expected: NDArray[np.float32], found: NDArray[np.float32]
) -> list[GoldenPair]:
    margins = np.sort(softmax(expected), axis=1)
    hardest = np.argsort(margins[:, -1] - margins[:, -2], kind="stable")[: GOLDEN_PAIRS // 2]
    spread = np.linspace(0, len(pairs) - 1, GOLDEN_PAIRS).astype(int)
    order = list(dict.fromkeys([*spread.tolist(), *hardest.tolist()]))
    chosen = sorted(
        [*hardest.tolist(), *[i for i in order if i not in set(hardest.tolist())][: GOLDEN_PAIRS - len(hardest)]]
    )
    texts = [(pairs[i].first, pairs[i].second) for i in chosen]
    probabilities = softmax(found)
    return [
        GoldenPair(
            first=first, second=second, token_ids=ids, probabilities={FP32: tuple(float(p) for p in probabilities[i])}
        )
        for i, (first, second), ids in zip(chosen, texts, scorer.token_ids(texts), strict=True)
    ]


def _describe(job: ExportJob, parity: Parity, fp32: ArtefactParity, stage: Path) -> list[str]:
    size = (stage / MODEL_FILE).stat().st_size / 1e6
    lines = [
        f"token ids: {parity.tokens.equal} of {parity.tokens.compared} pairs equal to KerasHub's",
        f"model.onnx: {size:.1f} MB, largest difference of a probability {fp32.probabilities.max:.1e} (at most {fp32.tolerance:.0e}), "
        f"{fp32.same_label} of {parity.pairs} labels the same",
        f"saved_model: largest difference of a probability {parity.artefacts[SAVED_MODEL].probabilities.max:.1e}",
    ]
    if parity.keras_accuracy is not None and fp32.accuracy is not None:
        lines.append(
            f"accuracy on the labelled pairs: Keras {parity.keras_accuracy:.4f}, model.onnx {fp32.accuracy:.4f}"
        )
    if not job.pairs:
        lines.append("no pairs of yours were compared: add --pairs FILE for a proof on your own texts")
    return lines
