"""The identity of a job: all that decides the bytes of its output."""

from __future__ import annotations

import dataclasses
import platform
import zlib
from collections.abc import Mapping

from pairlift import chunk
from pairlift.fields import map_fields
from pairlift.formats import PARQUET, STREAM, Format
from pairlift.inputs import Input, common_folder, shown_name
from pairlift.machine import read_cpu
from pairlift.scorer import Scorer
from pairlift.storage import Stamp
from pairlift.version import read_versions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that decides the bytes of an output.

    Attributes:
        inputs: Their names, below the folder that all are in, and what they are known by.
        bundle: The digest of the bundle.
        variant: The variant.
        columns: The column of each field.
        input_format, output_format: Extensions, and whether there are quotes where that is not what they have by default.
        raw: Whether rejected records are kept.
        chunk_rows: Rows of a chunk.
        runtime: Versions of what computes, and the processor, unless several machines may work at the job: another one may
            give other low bits.
    """

    format: int = 3
    inputs: tuple[Input, ...]
    bundle: str
    variant: str
    columns: Mapping[str, str]
    input_format: str
    output_format: str
    raw: bool
    chunk_rows: int
    runtime: Mapping[str, str]

    @property
    def is_stream(self) -> bool:
        """Whether the input is standard input, which is never known to be the same."""
        return self.inputs[0].name == STREAM

    def difference(self, other: Identity) -> str:
        """Return what another identity has different, in words, or nothing."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in ("format", "inputs")]
        found = [(name.replace("_", " "), getattr(self, name), getattr(other, name)) for name in names]
        found = [*_compare_inputs(self.inputs, other.inputs), *(each for each in found if each[1] != each[2])]
        return ", ".join(f"{name} (was {was}, is {now})" for name, was, now in found)


def _compare_inputs(before: tuple[Input, ...], after: tuple[Input, ...]) -> list[tuple[str, object, object]]:
    """Return what the first inputs that differ have different: its name, what it was, and what it is."""
    if len(before) != len(after):
        return [("inputs", len(before), len(after))]
    for was, now in zip(before, after, strict=True):
        if was != now:
            what = "input" if len(before) == 1 else f"input {was.name}"
            found = [(what, was.name, now.name)]
            found += [
                (f"{what} {f.name}", getattr(was.stamp, f.name), getattr(now.stamp, f.name))
                for f in dataclasses.fields(Stamp)
            ]
            return [each for each in found if each[1] != each[2]]
    return []


def identify(
    scorer: Scorer,
    inputs: tuple[Input, ...],
    found: Format,
    written: Format,
    fields: str | None,
    raw: bool,
    one_machine: bool = True,
) -> Identity:
    """Return the identity of a job.

    Args:
        scorer: A bundle's variant.
        inputs: In order.
        found, written: The formats of the input and of the output.
        fields: As the option `--fields`.
        raw: Whether rejected records are kept.
        one_machine: Whether the job is done by one machine alone.
    """
    runtime, folder = read_runtime(found, written), common_folder([each.name for each in inputs])
    return Identity(
        inputs=tuple(Input(name=shown_name(each.name, folder), stamp=each.stamp) for each in inputs),
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
