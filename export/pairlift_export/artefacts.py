"""The artefacts of a bundle: written, compared with Keras through the production scorer, and listed."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairlift import record
from pairlift.bundle import Bundle
from pairlift.encoder import EncoderRecord, PairEncoder, read_keras_preprocessor
from pairlift.errors import AgreementError
from pairlift.golden import GoldenPair, dump_golden
from pairlift.manifest import GOLDEN, PARITY, PARITY_PAGE, SAVED_MODEL, TOKENIZER, Manifest
from pairlift.scorer import Scorer, softmax
from pairlift_export.certificate import ArtefactParity, Parity, VariantParity
from pairlift_export.contents import FP32, MODEL_FILE, draft_manifest, write_manifest
from pairlift_export.converter import write_onnx
from pairlift_export.hard import hard_pairs
from pairlift_export.job import ExportJob
from pairlift_export.machine import read_cpu, read_cpu_flags, read_onnxruntime_build
from pairlift_export.page import draw_page
from pairlift_export.parity import accuracy, compare_logits, compare_tokens, confuse, find_fault, margins
from pairlift_export.reference import Reference, load_reference
from pairlift_export.saved_model import run_saved_model, write_saved_model
from pairlift_export.shapes import compare_shapes, measure_invariance
from pairlift_export.stages import find_stage
from pairlift_training.run import LabelledPair

GOLDEN_PAIRS = 64
HARD_LOGITS = 128  # hard pairs whose logits are compared too; token ids are compared on all of them
STAGE_ROWS = 16


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
    manifest = write_manifest(stage, draft_manifest(job, reference, encoder))

    scorer = Scorer(Bundle.open(stage), FP32)
    parity, golden = _prove(job, reference, encoder, manifest, scorer)
    scorer.close()
    (stage / PARITY).write_bytes(record.dump(parity))
    (stage / PARITY_PAGE).write_text(draw_page(parity), encoding="utf-8")
    (stage / GOLDEN).write_bytes(dump_golden(golden))
    found = parity.artefacts[FP32]
    variant = dataclasses.replace(
        manifest.variants[FP32], max_probability_difference=found.probabilities.max, pairs=parity.pairs
    )
    write_manifest(stage, dataclasses.replace(manifest, variants={FP32: variant}))
    return _describe(parity)


def _prove(
    job: ExportJob, reference: Reference, encoder: EncoderRecord, manifest: Manifest, scorer: Scorer
) -> tuple[Parity, list[GoldenPair]]:
    stage = Path(job.stage)
    every_hard = hard_pairs()
    hard = every_hard[:: max(1, len(every_hard) // HARD_LOGITS)][:HARD_LOGITS]
    texts = [(pair.first, pair.second) for pair in (*job.pairs, *every_hard)]
    arrays = reference.encode(texts)
    tokens = compare_tokens(arrays, PairEncoder(encoder).encode(texts, encoder.packing.sequence_length), texts)

    pairs = (*job.pairs, *hard)
    texts = [(pair.first, pair.second) for pair in pairs]
    places = [*range(len(job.pairs)), *(len(job.pairs) + every_hard.index(pair) for pair in hard)]
    arrays = {name: values[places] for name, values in arrays.items()}
    expected = reference.logits(arrays)
    found = scorer.logits(texts)
    served = run_saved_model(stage / SAVED_MODEL, arrays)
    results = {
        SAVED_MODEL: dataclasses.replace(
            compare_logits(expected, served, pairs, job.labels),
            size=sum(p.stat().st_size for p in (stage / SAVED_MODEL).rglob("*") if p.is_file()),
        ),
        FP32: dataclasses.replace(
            compare_logits(expected, found, pairs, job.labels),
            size=(stage / MODEL_FILE).stat().st_size,
            variant=_measure(reference, scorer, encoder, texts),
        ),
    }
    for name, result in results.items():
        _check(name, result, reference, stage, arrays)
    labelled = sum(pair.label in job.labels for pair in pairs)
    predicted = expected.argmax(axis=1)
    parity = Parity(
        model=job.source.name,
        model_sha256=job.source.model_sha256,
        labels=job.labels,
        pairs=len(pairs),
        pairs_source=job.pairs_source,
        hard_pairs=len(hard),
        labelled_pairs=labelled,
        keras_accuracy=accuracy(predicted, pairs, job.labels),
        keras_confusion=confuse(predicted, pairs, job.labels),
        margins=margins(expected),
        tokens=tokens,
        artefacts=results,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        cpu=read_cpu(),
        cpu_flags=read_cpu_flags(),
        onnxruntime_build=read_onnxruntime_build(),
        versions=manifest.versions,
    )
    return parity, _golden(scorer, pairs, expected, found)


def _measure(
    reference: Reference, scorer: Scorer, encoder: EncoderRecord, texts: list[tuple[str, str]]
) -> VariantParity:
    started = time.perf_counter()
    scorer.logits(texts)
    seconds = time.perf_counter() - started
    return VariantParity(
        shapes=compare_shapes(reference, scorer, encoder, texts),
        invariance=measure_invariance(scorer, PairEncoder(encoder), texts),
        pairs_per_second=round(len(texts) / seconds, 1),
        threads=scorer.threads,
    )


def _check(
    name: str, result: ArtefactParity, reference: Reference, stage: Path, arrays: dict[str, NDArray[np.int32]]
) -> None:
    fault = find_fault(name, result)
    if fault is None:
        return
    where = ""
    if result.variant is not None:
        worst = np.argsort(np.nan_to_num(result.differences, nan=np.inf))[::-1][:STAGE_ROWS]
        where = f"; {find_stage(reference, stage / MODEL_FILE, {k: v[worst] for k, v in arrays.items()})}"
    raise AgreementError(f"parity failed: {fault}{where}; no bundle was written")


def _golden(
    scorer: Scorer, pairs: tuple[LabelledPair, ...], expected: NDArray[np.float32], found: NDArray[np.float32]
) -> list[GoldenPair]:
    order = np.argsort(margins(expected), kind="stable")
    hardest = order[: GOLDEN_PAIRS // 2].tolist()
    spread = [i for i in np.linspace(0, len(pairs) - 1, GOLDEN_PAIRS).astype(int).tolist() if i not in hardest]
    chosen = sorted([*hardest, *spread[: GOLDEN_PAIRS - len(hardest)]])
    texts = [(pairs[i].first, pairs[i].second) for i in chosen]
    probabilities = softmax(found)
    return [
        GoldenPair(
            first=first, second=second, token_ids=ids, probabilities={FP32: tuple(float(p) for p in probabilities[i])}
        )
        for i, (first, second), ids in zip(chosen, texts, scorer.token_ids(texts), strict=True)
    ]


def _describe(parity: Parity) -> list[str]:
    fp32, saved = parity.artefacts[FP32], parity.artefacts[SAVED_MODEL]
    lines = [
        f"token ids: {parity.tokens.equal} of {parity.tokens.compared} pairs equal to KerasHub's",
        f"model.onnx: {fp32.size / 1e6:.1f} MB, largest difference of a probability {fp32.probabilities.max:.1e} (at most {fp32.tolerance:.0e}), "
        f"{fp32.same_label} of {parity.pairs} labels the same",
        f"saved_model: largest difference of a probability {saved.probabilities.max:.1e}",
    ]
    if parity.keras_accuracy is not None and fp32.accuracy is not None:
        lines.append(
            f"accuracy on the labelled pairs: Keras {parity.keras_accuracy:.4f}, model.onnx {fp32.accuracy:.4f}"
        )
    if parity.hard_pairs == parity.pairs:
        lines.append("no pairs of yours were compared: add --pairs FILE for a proof on your own texts")
    return lines
