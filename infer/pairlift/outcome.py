"""The outcome of a job, and what is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.commit import rejects_path
from pairlift.formats import STREAM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job did.

    Attributes:
        scored: Rows in the output.
        rejected: The others by reason.
        resumed: Rows that an earlier run had done.
        finished: Whether an earlier run had done everything.
    """

    scored: int
    rejected: Mapping[str, int]
    resumed: int = 0
    finished: bool = False

    @property
    def rows(self) -> int:
        """All rows of the input."""
        return self.scored + sum(self.rejected.values())


def describe(outcome: Outcome, output: str) -> str:
    """Return a job's summary, one line."""
    line = f"{outcome.scored} rows scored"
    if outcome.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in outcome.rejected.items())
        where = "above" if output == STREAM else f"in {rejects_path(output)}"
        line += f", {outcome.rows - outcome.scored} rejected ({reasons}): {where}"
    if outcome.finished:
        line += "; it was complete already"
    elif outcome.resumed:
        line += f"; {outcome.resumed} rows were done by an earlier run"
    return line
