"""A row of an input file, and the protocols for reading and writing rows."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pairlift.errors import RowError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record.

    Attributes:
        number: The record's number in its file, from 0; invalid records are counted too.
        line: The line at which the record begins, from 1; None in Parquet, which has no lines.
        start, end: The record's uncompressed byte offsets in the file, including its line end; None in Parquet.
        values: The values by column, in the file's order: strings, or JSON values from JSON lines and Parquet.
        raw: The record's original text without its line end; from Parquet, its values as JSON.
        error: Why the record cannot be scored, or None.
        batch, place: From Parquet, the Arrow record batch that holds the record, and the record's index there.
    """

    number: int
    line: int | None
    start: int | None
    end: int | None
    values: Mapping[str, Any]
    raw: str
    error: RowError | None = None
    batch: Any = None
    place: int = 0


class Span(NamedTuple):
    """The position of a row, with the meanings of `Row`, but without the row's contents."""

    number: int
    line: int
    start: int
    end: int
    raw: str = ""


# Does what calling `Span` does, in half the time. Takes all values, in order.
make_span = cast("Callable[[tuple[int, int, int, int, str]], Span]", functools.partial(tuple.__new__, Span))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The position of a row in a file, at which reading can begin.

    Attributes:
        row: The row's number, from 0.
        line: The row's line, from 1; None in Parquet.
        start: The uncompressed offset of the row's first byte; None in Parquet.
        member: In a compressed file, the offset of the gzip member or zstd frame in which the row begins.
        skip: Uncompressed bytes between the beginning of that member and the row.
    """

    row: int
    line: int | None = None
    start: int | None = None
    member: int = 0
    skip: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of an output: the input's, unchanged and in order, then the added ones.

    `given` is None if JSON lines are made from JSON lines: each object then keeps its own keys.
    """

    given: tuple[str, ...] | None
    added: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows as bytes, and the errors of rows that the format cannot hold, by their index."""

    output: bytes
    errors: Mapping[int, RowError]


class Reader(Protocol):
    """Yields the rows of a file, in order.

    `columns` is None if the format has no header, and `count` is None if the file does not say how many rows it has.
    Text formats also have `spans`, which finds the ends of rows without parsing them, where that is possible.
    """

    columns: tuple[str, ...] | None
    count: int | None

    def __iter__(self) -> Iterator[Row]: ...

    def move(self, file: BinaryIO, place: Place) -> None:
        """Continue at a place.

        Args:
            file: The uncompressed file, positioned at the place's first byte.
            place: The place.
        """
        ...

    def check_texts(self, columns: Iterable[str]) -> None:
        """Raise a `UsageError` if the type of a column is not text."""
        ...


class Writer(Protocol):
    """Turns rows with their scores into parts of a file, and joins parts into a file.

    A part is a pure function of its rows. `header` holds the bytes before the first part, if a file is the
    concatenation of its parts.
    """

    header: bytes

    def write(self, rows: Sequence[Row], predictions: Sequence[str], probabilities: NDArray[np.float32]) -> Written:
        """Return the part that holds rows.

        Args:
            rows: Rows without errors.
            predictions: The label of each.
            probabilities: Float32, shape (len(rows), n_labels).
        """
        ...

    def join(self, parts: Iterable[BinaryIO], file: BinaryIO) -> None:
        """Write a complete file from its parts."""
        ...


def find_repeated(names: Sequence[str]) -> str | None:
    """Return a name that appears more than once, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def check_keys(row: Row, names: frozenset[str], added: Sequence[str]) -> None:
    """Check that an output with columns has a column for each key of a row.

    Raises:
        RowError: A key is that of an added column (`column_taken`), or has no column (`unknown_column`).
    """
    if row.values.keys() <= names:
        return
    taken = [name for name in added if name in row.values]
    if taken:
        raise RowError("column_taken", f"the row has a column {taken[0]!r} already")
    unknown = next(name for name in row.values if name not in names)
    raise RowError(
        "unknown_column",
        f"key {unknown!r} does not occur in the first rows, whose keys are the output's columns; write JSONL",
    )
