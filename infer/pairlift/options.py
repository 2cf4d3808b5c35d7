"""The options of a job, and the identity that follows from them."""

from __future__ import annotations

import dataclasses
import platform
import zlib

from pairlift.fields import map_fields
from pairlift.formats import PARQUET, Format
from pairlift.identity import Identity
from pairlift.inputs import Input, common_folder, shown_name
from pairlift.machine import read_cpu
from pairlift.rejects import MostRejects
from pairlift.rows import CHUNK_ROWS
from pairlift.scorer import Scorer
from pairlift.version import read_versions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a job reads and writes.

    Attributes:
        fields: The columns of the two texts, as the option `--fields`.
        quoting: `minimal` or `none`, for CSV and TSV at both ends; None for what they have by default.
        raw: Whether rejected records are kept.
        most_rejects: How many rows may be rejected; None for any number. It decides no byte of the output.
        chunk_rows: Rows of a chunk: what a death costs, and what memory is bounded by.
    """

    fields: str | None = None
    quoting: str | None = None
    raw: bool = True
    most_rejects: MostRejects | None = None
    chunk_rows: int = CHUNK_ROWS


def identify(
    scorer: Scorer, inputs: tuple[Input, ...], found: Format, written: Format, options: JobOptions, one_machine: bool
) -> Identity:
    """Return the identity of a job.

    Args:
        scorer: A bundle's variant.
        inputs: In order.
        found, written: The formats of the input and of the output.
        options: The options.
        one_machine: Whether one machine alone does the job.
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
    """Return the versions that decide an output's bytes, and the processor's name."""
    packages = ["onnxruntime", "tokenizers", "numpy", "orjson"]
    packages += ["pyarrow"] if any(f.kind == PARQUET for f in used) else []
    packages += ["backports.zstd"] if any(f.compression == ".zst" for f in used) else []
    versions = read_versions(packages)
    if any(f.compression == ".gz" for f in used):
        versions["zlib"] = zlib.ZLIB_RUNTIME_VERSION
    versions["python"] = platform.python_version()
    return {**versions, "cpu": read_cpu()}
