"""The artefacts of a bundle: written, compared with Keras through the production scorer, and listed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from pairlift import record
from pairlift.choices import FP32, INT8
from pairlift.encoding.encoder import read_keras_preprocessor
from pairlift.machine import read_cpu, read_cpu_flags, read_onnxruntime_build
from pairlift.model.bundle import Bundle
from pairlift.model.golden import dump_golden, make_golden
from pairlift.model.manifest import GOLDEN, PARITY, PARITY_PAGE, SAVED_MODEL, TOKENIZER
from pairlift.model.scorer import Scorer, softmax
from pairlift_export.certificate import ArtefactParity, CrossCheck, Parity
from pairlift_export.contents import FILES, add_variant, draft_manifest, write_manifest
from pairlift_export.graphs import make_graph, save_graph
from pairlift_export.int8 import make_int8
from pairlift_export.job import ExportJob
from pairlift_export.page import draw_page
from pairlift_export.parity import confuse, margins
from pairlift_export.proof import Proof, prove
from pairlift_export.reference import load_reference
from pairlift_export.report import describe
from pairlift_export.saved_model import write_saved_model


def write_artefacts(job: ExportJob) -> list[str]:
    """Fill the job's directory with a bundle that agrees with Keras, and return the lines of the report.

    Raises:
        AgreementError: An artefact does not agree with Keras.
        InputError: The model cannot be loaded or is not supported.
    """
    stage = Path(job.stage)
    reference = load_reference(Path(job.model))
    encoder = read_keras_preprocessor(reference.preprocessor)
    (stage / TOKENIZER).write_bytes(record.dump(encoder.tokenizer))
    graph = make_graph(reference, job.graph)
    save_graph(graph.model, stage / FILES[FP32])
    route = graph.route
    del graph  # a base-size graph is 440 MB, and is read again when it is needed
    proof = prove(reference, encoder, job, route)
    write_saved_model(reference, stage / SAVED_MODEL)
    results = {SAVED_MODEL: proof.hold_saved_model(stage / SAVED_MODEL)}
    proof.check(SAVED_MODEL, results[SAVED_MODEL], reference)

    manifest = write_manifest(stage, add_variant(draft_manifest(job, reference, encoder), FP32, route))
    scorer = Scorer(Bundle.open(stage), FP32)
    results[FP32] = proof.hold_variant(scorer)
    proof.check(FP32, results[FP32], reference, stage / FILES[FP32])
    crossed = proof.cross_check(scorer)
    token_ids = scorer.token_ids(proof.golden_texts)
    logits = {FP32: scorer.logits(proof.golden_texts)}
    scorer.close()
    del scorer, reference

    attempt = make_int8(job, route, proof, manifest)
    if attempt.result is not None:
        manifest, results[INT8] = attempt.manifest, attempt.result
        logits[INT8] = attempt.logits
    left_out = {INT8: attempt.fault} if attempt.fault else {}
    parity = _certify(job, proof, results, left_out, crossed, manifest.versions)
    (stage / PARITY).write_bytes(record.dump(parity))
    (stage / PARITY_PAGE).write_text(draw_page(parity), encoding="utf-8")
    # The comparison with Keras is without the temperature, which Keras does not know. From here on the bundle has it.
    scores = {name: softmax(found, job.temperature) for name, found in logits.items()}
    manifest = dataclasses.replace(manifest, temperature=job.temperature)
    (stage / GOLDEN).write_bytes(dump_golden(make_golden(proof.golden_texts, token_ids, scores)))
    for name in scores:
        manifest = add_variant(manifest, name, route, results[name].probabilities.max, parity.pairs)
    write_manifest(stage, manifest)
    return describe(parity)


def _certify(
    job: ExportJob,
    proof: Proof,
    results: dict[str, ArtefactParity],
    left_out: dict[str, str],
    crossed: CrossCheck | None,
    versions: Mapping[str, str],
) -> Parity:
    """Return the certificate of the comparison with Keras."""
    return Parity(
        model=job.source.name,
        model_sha256=job.source.model_sha256,
        labels=job.labels,
        pairs=len(proof.pairs),
        pairs_source=job.pairs_source,
        rows_left_out=job.rows_left_out,
        hard_pairs=proof.hard,
        labelled_pairs=sum(pair.label in job.labels for pair in proof.pairs),
        keras_accuracy=proof.keras_accuracy,
        keras_confusion=confuse(proof.expected.argmax(axis=1), proof.pairs, job.labels),
        margins=margins(proof.expected),
        tokens=proof.tokens,
        artefacts=results,
        left_out=left_out,
        cross_check=crossed,
        calibration_pairs=len(job.calibration) if INT8 in results else 0,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        cpu=read_cpu(),
        cpu_flags=read_cpu_flags(),
        onnxruntime_build=read_onnxruntime_build(),
        versions=versions,
    )
