"""The int8 variant: made from the float graph, checked against its gate, and left out if it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from pairlift.choices import FP32, INT8
from pairlift.encoding.encoder import EncoderRecord, PairEncoder
from pairlift.encoding.packing import Batch
from pairlift.errors import AgreementError
from pairlift.model.bundle import Bundle
from pairlift.model.manifest import Manifest
from pairlift.model.scorer import Probabilities, Scorer
from pairlift_export.certificate import ArtefactParity
from pairlift_export.contents import FILES, add_variant, write_manifest
from pairlift_export.graphs import save_graph
from pairlift_export.graphs.quantise import calibrate, quantise, token_table
from pairlift_export.job import ExportJob
from pairlift_export.parity import find_fault
from pairlift_export.proof import Proof
from pairlift_training.run import LabelledPair

BATCH_ROWS = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The result: the manifest that lists the variant, its parity and its logits of the golden pairs; or the fault."""

    manifest: Manifest
    result: ArtefactParity | None = None
    logits: Probabilities = dataclasses.field(default_factory=lambda: np.empty((0, 0), np.float32))
    fault: str = ""


def make_int8(job: ExportJob, route: str, proof: Proof, manifest: Manifest) -> Attempt:
    """Write the int8 graph beside the float one: with int8 embeddings, or without them if the gate fails with them.

    Raises:
        AgreementError: The variant was requested with --int8, and could not be made or fails its gate.
    """
    if job.int8 is False:
        return Attempt(manifest=manifest, fault="not asked for (--no-int8)")
    if not job.calibration:
        return _fail(job, manifest, "no pairs of your own to measure the ranges of activations on; add --pairs FILE")
    stage = Path(job.stage)
    path, fault = stage / FILES[INT8], ""
    ranges = calibrate(stage / FILES[FP32], _batches(proof.encoder, job.calibration))
    model = onnx.load(stage / FILES[FP32])
    for tables in ([token_table(model)], []):
        save_graph(quantise(model, ranges, tables), path)
        listed = write_manifest(stage, add_variant(manifest, INT8, route))
        scorer = Scorer(Bundle.open(stage), INT8)
        result, logits = proof.hold_variant(scorer, job.gate), scorer.logits(proof.golden_texts)
        scorer.close()
        fault = find_fault(INT8, result) or ""
        if not fault:
            return Attempt(manifest=listed, result=result, logits=logits)
        path.unlink()
        write_manifest(stage, manifest)
    return _fail(job, manifest, fault)


def _fail(job: ExportJob, manifest: Manifest, fault: str) -> Attempt:
    if job.int8:
        raise AgreementError(f"--int8: {fault}; no bundle was written (without --int8 the variant is left out instead)")
    return Attempt(manifest=manifest, fault=fault)


def _batches(encoder: EncoderRecord, pairs: tuple[LabelledPair, ...]) -> Iterator[Batch]:
    texts = sorted(((pair.first, pair.second) for pair in pairs), key=lambda pair: len(pair[0]) + len(pair[1]))
    tokenizer = PairEncoder(encoder)
    for start in range(0, len(texts), BATCH_ROWS):
        yield tokenizer.encode(texts[start : start + BATCH_ROWS])
