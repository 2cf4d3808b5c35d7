"""A row of an input file, and what reads and writes rows."""

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
        number: From 0, over all records of its file, bad ones included.
        line: Where it begins, from 1; None in Parquet, which has no lines.
        start, end: The bytes it takes in the file, uncompressed, with its line end; None in Parquet.
        values: The columns by name, in the file's order; strings, or JSON values from JSON lines and Parquet.
        raw: The record's text as it stands in the file, without its line end; from Parquet, its values as JSON.
        error: Why it cannot be scored, or None.
        batch, place: From Parquet, the Arrow record batch that the record is in, and its index there.
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
    """Where a row begins and ends, as `Row` has it, without what is in it."""

    number: int
    line: int
    start: int
    end: int
    raw: str = ""


# What `Span` itself does when it is called, at half the time: takes the values in order, all of them.
make_span = cast("Callable[[tuple[int, int, int, int, str]], Span]", functools.partial(tuple.__new__, Span))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row stands in a file, so that reading can begin there.

    Attributes:
        row: Its number, from 0.
        line: Its line, from 1; None in Parquet.
        start: Its first byte, uncompressed; None in Parquet.
        member: In a compressed file, the first byte of the gzip member or zstd frame that it begins in.
        skip: Bytes from the beginning of that member to the row, uncompressed.
    """

    row: int
    line: int | None = None
    start: int | None = None
    member: int = 0
    skip: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of an output: the input's, unchanged and in order, then the added ones.

    `given` is None for JSON lines out of JSON lines: each object then keeps its own keys.
    """

    given: tuple[str, ...] | None
    added: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows as bytes, and those that the format cannot hold, by their index."""

    output: bytes
    errors: Mapping[int, RowError]


class Reader(Protocol):
    """Rows of a file, in order; `columns` where the format has a header, `count` where it says how many rows.

    Text formats also have `spans`: rows without what is in them, where their ends can be found without reading it.
    """

    columns: tuple[str, ...] | None
    count: int | None

    def __iter__(self) -> Iterator[Row]: ...

    def move(self, file: BinaryIO, place: Place) -> None:
        """Go on at a place.

        Args:
            file: Uncompressed, at the place's first byte.
            place: The place.
        """
        ...

    def check_texts(self, columns: Iterable[str]) -> None:
        """Refuse columns whose type is not text; a `UsageError`."""
        ...


class Writer(Protocol):
    """Rows with their scores as a part of a file, and parts joined to a file.

    A part is a pure function of its rows. `header` is what stands before the first part where parts only need to be put one
    after the other.
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
        """Write a whole file out of its parts."""
        ...


def find_repeated(names: Sequence[str]) -> str | None:
    """Return a name that stands twice, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def check_keys(row: Row, names: frozenset[str], added: Sequence[str]) -> None:
    """Refuse a row with a key that an output with columns has no column for.

    Raises:
        RowError: `column_taken` or `unknown_column`.
    """
    if row.values.keys() <= names:
        return
    taken = [name for name in added if name in row.values]
    if taken:
        raise RowError("column_taken", f"the row has a column {taken[0]!r} already")
    unknown = next(name for name in row.values if name not in names)
    raise RowError(
        "unknown_column",
        f"key {unknown!r} comes after the first rows, whose keys are the output's columns; write JSONL",
    )
