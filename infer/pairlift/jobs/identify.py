"""Determine a job's identity: its inputs, its options, and the versions that determine the bytes of its output."""

from __future__ import annotations

import platform
import zlib

from pairlift.formats import PARQUET, Format
from pairlift.formats.fields import map_fields
from pairlift.inputs.names import common_folder, shown_name
from pairlift.inputs.options import JobOptions
from pairlift.machine import read_cpu
from pairlift.model.scorer import Scorer
from pairlift.outputs.identity import Identity
from pairlift.storage.stamp import Input
from pairlift.version import read_versions


def identify(
    scorer: Scorer, inputs: tuple[Input, ...], found: Format, written: Format, options: JobOptions, one_machine: bool
) -> Identity:
    """Return the identity of a job.

    Args:
        scorer: The scorer of a bundle's variant.
        inputs: The inputs in order.
        found, written: The formats of the input and of the output.
        options: The options.
        one_machine: Whether only one machine may work on the job.
    """
    runtime, folder = read_runtime(found, written), common_folder([each.name for each in inputs])
    return Identity(
        inputs=tuple(Input(name=shown_name(each.name, folder), stamp=each.stamp) for each in inputs),
        bundle=scorer.bundle.digest,
        variant=scorer.variant,
        columns=map_fields(options.fields, scorer.bundle.manifest.fields),
        input_format=str(found),
        output_format=str(written),
        raw=options.raw,
        chunk_rows=options.chunk_rows,
        runtime=runtime if one_machine else {name: version for name, version in runtime.items() if name != "cpu"},
    )


def read_runtime(*used: Format) -> dict[str, str]:
    """Return the versions that determine an output's bytes, and the processor's name."""
    packages = ["onnxruntime", "tokenizers", "numpy", "orjson"]
    packages += ["pyarrow"] if any(f.kind == PARQUET for f in used) else []
    packages += ["backports.zstd"] if any(f.compression == ".zst" for f in used) else []
    versions = read_versions(packages)
    if any(f.compression == ".gz" for f in used):
        versions["zlib"] = zlib.ZLIB_RUNTIME_VERSION
    versions["python"] = platform.python_version()
    return {**versions, "cpu": read_cpu()}
