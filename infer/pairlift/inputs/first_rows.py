"""The first rows of inputs without a header: they determine the columns of the output."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

from pairlift.errors import RowError
from pairlift.formats import Format, Row
from pairlift.inputs.reopen import open_other
from pairlift.inputs.rows import CHUNK_BYTES, read_pair, take_rows
from pairlift.storage.stamp import Input


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FirstRows:
    """The first rows of inputs without a header.

    Attributes:
        rows: The rows that were examined, each with its input's name.
        all: All rows of the first input.
        leaders: The inputs that were examined.
        more: Whether there are rows or inputs that were not examined.
    """

    rows: list[tuple[str, Row]]
    all: Iterator[Row]
    leaders: tuple[Input, ...]
    more: bool


def look_at_first(rows: Iterator[Row], inputs: tuple[Input, ...], found: Format, keyless: bool, most: int) -> FirstRows:
    """Examine the first rows of inputs without a header.

    Args:
        rows: The rows of the first input.
        inputs: The inputs, in order.
        found: Their format.
        keyless: Whether the output needs no columns, so that one valid row is enough.
        most: How many rows are examined at most.
    """
    kept, leaders = _take_first(rows, keyless, most), inputs[:1]
    beyond = None if keyless else next(rows, None)
    looked = [(inputs[0].name, row) for row in kept]
    if not keyless and beyond is None:
        ahead, leaders = _look_ahead(inputs, found, most - len(kept))
        looked += ahead
    return FirstRows(
        rows=looked,
        all=itertools.chain(kept, [] if beyond is None else [beyond], rows),
        leaders=leaders,
        more=beyond is not None or len(leaders) < len(inputs),
    )


def _take_first(rows: Iterator[Row], one_is_enough: bool, most: int) -> list[Row]:
    if not one_is_enough:
        return take_rows(rows, most, CHUNK_BYTES)[0]
    first, size = take_rows(rows, 1, CHUNK_BYTES)
    while first and first[-1].error is not None and len(first) < most and size < CHUNK_BYTES:
        taken, more = take_rows(rows, 1, CHUNK_BYTES)
        if not taken:
            break
        first, size = first + taken, size + more
    return first


def _look_ahead(inputs: tuple[Input, ...], found: Format, most: int) -> tuple[list[tuple[str, Row]], tuple[Input, ...]]:
    """Return rows of the inputs after the first, and the inputs that were examined, including the first.

    There are at most `most` rows, each with its input's name.
    """
    rows, size = list[tuple[str, Row]](), 0
    for i, each in enumerate(inputs[1:], 1):
        if len(rows) >= most or size >= CHUNK_BYTES:
            return rows, inputs[:i]
        with open_other(each, found) as (_, reader):
            taken, more = take_rows(iter(reader or ()), most - len(rows), CHUNK_BYTES - size)
            rows, size = rows + [(each.name, row) for row in taken], size + more
    return rows, inputs


def is_scorable(row: Row, columns: Mapping[str, str]) -> bool:
    """Return whether a row has two texts."""
    try:
        read_pair(row, columns)
    except RowError:
        return False
    return True
