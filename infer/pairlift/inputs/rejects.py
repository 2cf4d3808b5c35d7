"""Rejects: how many rows of a job may be rejected."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction

from pairlift.errors import RejectsError, UsageError


@dataclasses.dataclass(frozen=True, slots=True)
class MostRejects:
    """A limit on rejected rows: a number, or a share of all rows."""

    text: str
    rows: int | None = None
    share: Fraction | None = None

    def check(self, rejected: Mapping[str, int], rows: int, advice: str, *, final: bool) -> None:
        """Compare the rows rejected so far with the limit. A share is compared only at the end.

        Args:
            rejected: The rejected rows, by reason.
            rows: All rows so far.
            advice: What the error tells the user to do.
            final: Whether all rows have been read.

        Raises:
            RejectsError: More rows are rejected than the limit allows.
        """
        found = sum(rejected.values())
        over = self.rows is not None and found > self.rows
        over = over or (final and self.share is not None and found > self.share * rows)
        if over:
            reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items())
            raise RejectsError(
                f"{found} of {rows} rows are rejected ({reasons}), expected at most {self.text}; {advice}"
            )


def parse_most_rejects(text: str) -> MostRejects:
    """Parse `100` or `2.5%`.

    Raises:
        UsageError: The text is neither.
    """
    try:
        if text.endswith("%"):
            share = Fraction(text[:-1]) / 100
            if 0 <= share <= 1:
                return MostRejects(text, share=share)
        elif int(text) >= 0:
            return MostRejects(text, rows=int(text))
    except (ValueError, ZeroDivisionError):
        pass
    raise UsageError(f"--max-rejects {text}: expected a number of rows, or a share of them such as 2.5%")
