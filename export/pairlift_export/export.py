"""The entry of the export: checks the request, and runs the export in a separate process.

Keras fixes its backend when it is imported, so the work runs in a child process under the TensorFlow backend, whatever
backend trained. This also keeps what TensorFlow writes to the terminal out of the output.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from pairlift.digest import sha256_file
from pairlift.errors import InputError, UsageError, missing_extra
from pairlift.formats.fields import parse_list
from pairlift.inputs.labelled import check_labels, describe_left_out, read_labelled
from pairlift.jobs.child import run_child
from pairlift.model.manifest import MANIFEST, Origin
from pairlift.storage.staging import check_destination, staged_directory
from pairlift_export.certificate import Gate
from pairlift_export.job import DEFAULT_GATE, ExportJob
from pairlift_export.keras_file import inspect_keras_file
from pairlift_training.run import MODEL, RUN, LabelledPair, Run, read_run

PROOF_PAIRS = 256
CALIBRATION_PAIRS = 128
NEEDED = ("keras", "keras_hub", "tensorflow", "tensorflow_text", "tf2onnx", "onnx", "jinja2")
ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_USE_LEGACY_KERAS": "0",
    "ORT_DISABLE_TELEMETRY": "1",
    # Returns freed weights to the system at once. glibc would keep blocks of up to 32 MB: 0.4 GB for a base model.
    "MALLOC_MMAP_THRESHOLD_": "1000000",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asked for."""

    model: Path
    bundle: Path
    pairs: str | None
    label: str | None
    labels: str | None
    fields: str | None
    graph: str
    int8: bool | None
    max_flips: float | None
    max_drop: float | None
    force: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Pairs for the proof; pairs for calibration (others if there are enough); their source; the rows left out."""

    proof: tuple[LabelledPair, ...]
    calibration: tuple[LabelledPair, ...]
    source: str
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)


def run_export(request: Request) -> str:
    """Check a request, carry it out in a child process, and return the report on the bundle.

    Raises:
        PairliftError: The check or the child failed; no bundle was written.
    """
    check_destination(request.bundle, MANIFEST, request.force)
    run = _read_run(request.model)
    file = request.model / MODEL if run else request.model
    found = inspect_keras_file(file)
    labels, fields = _names(request, run)
    if len(labels) != found.outputs:
        raise UsageError(
            f"{file}: the head has {found.outputs} outputs, found {len(labels)} labels ({', '.join(labels)}); give one --labels name for each output, in order"
        )
    pairs = _choose_pairs(request, run, labels, fields)
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise missing_extra("export", "export")
    policy = "" if run is None else run.recipe.precision
    with staged_directory(request.bundle, MANIFEST, request.force) as stage:
        job = ExportJob(
            model=str(file.resolve()),
            stage=str(stage.resolve()),
            labels=labels,
            fields=fields,
            graph=request.graph,
            pairs=pairs.proof,
            pairs_source=pairs.source,
            rows_left_out=pairs.left_out,
            calibration=pairs.calibration,
            int8=request.int8,
            gate=Gate(
                most_flips=DEFAULT_GATE.most_flips if request.max_flips is None else request.max_flips,
                most_drop=DEFAULT_GATE.most_drop if request.max_drop is None else request.max_drop,
            ),
            source=Origin(
                name=request.model.resolve().name,
                model_sha256=run.model_sha256 if run else sha256_file(file),
                dtype_policy=policy,
                recipe=run.recipe.name if run else None,
            ),
            temperature=run.temperature if run else 1.0,
        )
        return run_child("pairlift_export.worker", job, "the export process", ENVIRONMENT)


def _read_run(model: Path) -> Run | None:
    if not model.is_dir():
        return None
    if (model / MANIFEST).is_file() and not (model / RUN).is_file():
        raise InputError(f"{model}: is a bundle already; expected a run directory or a .keras file")
    return read_run(model)


def _names(request: Request, run: Run | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if run is None and (request.labels is None or request.fields is None):
        missing = [
            name for name, value in (("--labels", request.labels), ("--fields", request.fields)) if value is None
        ]
        raise UsageError(
            f"{request.model}: a .keras file does not say what its outputs and segments mean; add {' and '.join(missing)}, "
            "in model order, for example --labels entailment,neutral,contradiction --fields hypothesis,premise"
        )
    labels = parse_list(request.labels, "--labels") if request.labels else run.labels if run else ()
    fields = parse_list(request.fields, "--fields") if request.fields else run.fields if run else ()
    if len(fields) != 2:
        raise UsageError(f"--fields {request.fields}: found {len(fields)} names, expected two")
    if len(labels) < 2:
        raise UsageError(f"--labels {request.labels}: expected two or more names")
    return labels, fields


def _choose_pairs(request: Request, run: Run | None, labels: tuple[str, ...], fields: tuple[str, ...]) -> _Pairs:
    if request.pairs is None:
        if request.label is not None:
            raise UsageError(
                f"--label {request.label}: names a column of --pairs FILE, and there is none; add --pairs, or leave it out"
            )
        held_out = run.held_out if run else ()
        return _Pairs(proof=held_out, calibration=held_out, source="held out by the run" if run else "none given")
    read = read_labelled(request.pairs, fields, label=request.label, optional=True)
    check_labels(read.labels, labels, request.pairs)
    if not read.pairs:
        raise InputError(
            f"{request.pairs}: no pair that can be scored ({describe_left_out(read.left_out)}); expected rows with {' and '.join(fields)}"
        )
    found = [
        LabelledPair(first=first, second=second, label=label)
        for (first, second), label in zip(read.pairs, read.labels, strict=True)
    ]
    step = max(1, len(found) // PROOF_PAIRS)
    proof = tuple(found[::step][:PROOF_PAIRS])
    others = found[1 :: 2 * step][:CALIBRATION_PAIRS] if step > 1 else []
    return _Pairs(
        proof=proof, calibration=tuple(others) or proof, source=Path(request.pairs).name, left_out=read.left_out
    )
