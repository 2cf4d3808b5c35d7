"""The identity of a job: everything that determines the bytes of its output."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.storage.open import STREAM
from pairlift.storage.stamp import Input, describe_change


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything that determines the bytes of an output.

    Attributes:
        inputs: The names of the inputs, relative to their common folder, and their stamps.
        bundle: The digest of the bundle.
        variant: The variant.
        columns: The column of each field.
        input_format, output_format: The extension, and the quoting if it is not the default of that extension.
        raw: Whether rejected records are kept.
        chunk_rows: Rows per chunk.
        runtime: Versions of the libraries, and the processor, which affects the lowest bits of the scores. The
            processor is left out if several machines may work on the job.
    """

    format: int = 4
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
        """Whether the input is standard input, which is never assumed to be the same."""
        return self.inputs[0].name == STREAM

    def difference(self, other: Identity) -> str:
        """Describe how another identity differs; an empty string if it does not."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "inputs"]
        found = [(name.replace("_", " "), getattr(self, name), getattr(other, name)) for name in names]
        options = [f"{name} (was {_show(was)}, is {_show(now)})" for name, was, now in found if was != now]
        return ", ".join([*_compare_inputs(self.inputs, other.inputs), *options])


def _compare_inputs(before: tuple[Input, ...], after: tuple[Input, ...]) -> list[str]:
    """Describe how the first two inputs that differ do so; an empty list if none differ."""
    if len(before) != len(after):
        return [f"inputs (was {len(before)}, is {len(after)})"]
    for was, now in zip(before, after, strict=True):
        if was.name != now.name:
            return [f"input (was {was.name}, is {now.name})"]
        if was.stamp != now.stamp:
            return [f"input {now.name} ({describe_change(was.stamp, now.stamp)})"]
    return []


def _show(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {what}" for name, what in value.items())
    return str(value)
