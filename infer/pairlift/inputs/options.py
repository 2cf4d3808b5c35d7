"""The options of a job."""

from __future__ import annotations

import dataclasses

from pairlift.inputs.rejects import MostRejects
from pairlift.inputs.rows import CHUNK_ROWS


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
