"""The options of a job."""

from __future__ import annotations

import dataclasses

from pairlift.inputs.rejects import MostRejects
from pairlift.inputs.rows import CHUNK_ROWS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a job reads and writes.

    Attributes:
        fields: The columns of the two texts, in the form of the option `--fields`.
        quoting: `minimal` or `none`, for CSV and TSV at both ends; None for the defaults of these formats.
        raw: Whether the rejects contain the rejected records.
        most_rejects: How many rows may be rejected; None for any number. It does not change the bytes of the output.
        chunk_rows: Rows per chunk. A kill loses at most the chunks in progress, and memory grows with their size.
    """

    fields: str | None = None
    quoting: str | None = None
    raw: bool = True
    most_rejects: MostRejects | None = None
    chunk_rows: int = CHUNK_ROWS
