"""A row of an input file, and what reads and writes rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pairlift.errors import RowError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record.

    Attributes:
        number: From 0, over all records, bad ones included.
        line: Where it begins, from 1.
        start, end: The bytes it takes in the file, uncompressed, with its line end.
        values: The columns by name, in the file's order; strings, or JSON values from JSON lines.
        raw: The record's text as it stands in the file, without its line end.
        error: Why it cannot be scored, or None.
    """

    number: int
    line: int
    start: int
    end: int
    values: Mapping[str, Any]
    raw: str
    error: RowError | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of an output: the input's, unchanged and in order, then the added ones."""

    given: tuple[str, ...] | None
    added: tuple[str, ...]


class Reader(Protocol):
    """Rows of a file, in order; `columns` where the format has a header."""

    columns: tuple[str, ...] | None

    def __iter__(self) -> Iterator[Row]: ...


class Writer(Protocol):
    """Rows with their scores as a format's bytes; what is before the first row is the header."""

    header: bytes

    def write(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row; a probability is the shortest decimal that is the same float32.

        Raises:
            RowError: The row cannot be held by this format.
        """
        ...
