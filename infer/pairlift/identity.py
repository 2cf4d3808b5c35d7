"""The identity of a job: all that decides the bytes of its output."""

from __future__ import annotations

import dataclasses
import os
import platform
import zlib
from collections.abc import Mapping
from pathlib import Path

from pairlift import chunk
from pairlift.fields import map_fields
from pairlift.formats import PARQUET, Format
from pairlift.machine import read_cpu
from pairlift.scorer import Scorer
from pairlift.storage import Stamp
from pairlift.version import read_versions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that decides the bytes of an output.

    Attributes:
        input: The input's name, without its folders.
        input_size: Bytes.
        input_modified: Nanoseconds since 1970; 0 for an object.
        input_etag: Of an object.
        bundle: The digest of the bundle.
        variant: The variant.
        columns: The column of each field.
        input_format, output_format: Extensions, and whether there are quotes where that is not what they have by default.
        raw: Whether rejected records are kept.
        chunk_rows: Rows of a chunk.
        runtime: Versions of what computes, and the processor, unless several machines may work at the job: another one may
            give other low bits.
    """

    format: int = 2
    input: str
    input_size: int
    input_modified: int
    input_etag: str = ""
    bundle: str
    variant: str
    columns: Mapping[str, str]
    input_format: str
    output_format: str
    raw: bool
    chunk_rows: int
    runtime: Mapping[str, str]

    def difference(self, other: Identity) -> str:
        """Return what another identity has different, in words, or nothing."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "format"]
        fields = [name for name in names if getattr(self, name) != getattr(other, name)]
        return ", ".join(
            f"{name.replace('_', ' ')} (was {getattr(self, name)}, is {getattr(other, name)})" for name in fields
        )


def identify(
    scorer: Scorer,
    stamp: Stamp,
    source: str,
    found: Format,
    written: Format,
    fields: str | None,
    raw: bool,
    one_machine: bool = True,
) -> Identity:
    """Return the identity of a job.

    Args:
        scorer: A bundle's variant.
        stamp: Of the input, taken when it was opened.
        source: Its name, or `-`.
        found, written: The formats of the input and of the output.
        fields: As the option `--fields`.
        raw: Whether rejected records are kept.
        one_machine: Whether the job is done by one machine alone.
    """
    runtime = read_runtime(found, written)
    return Identity(
        input=printable(Path(source).name),
        input_size=stamp.size,
        input_modified=stamp.modified,
        input_etag=stamp.etag,
        bundle=scorer.bundle.digest,
        variant=scorer.variant,
        columns=map_fields(fields, scorer.bundle.manifest.fields),
        input_format=str(found),
        output_format=str(written),
        raw=raw,
        chunk_rows=chunk.CHUNK_ROWS,
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


def printable(name: str) -> str:
    """Return a file's name as text that every encoding can hold."""
    return os.fsencode(name).decode(errors="backslashreplace")
