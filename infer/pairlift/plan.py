"""The plan of a job: its chunks as descriptors, each of which says where its rows are, so that any machine can do it.

One pass over the input. Ends of rows are looked for and nothing else in JSON lines; CSV and TSV are read, for a quote may hide an
end; of Parquet only the footer is.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from pairlift import chunk
from pairlift.chunk import take_windows
from pairlift.errors import ChangedError, UsageError
from pairlift.formats import PARQUET, STREAM, Format, format_of, open_input, open_reader, reopen
from pairlift.formats.delimited import DelimitedReader
from pairlift.formats.jsonl import JsonlReader
from pairlift.formats.members import MemberStream
from pairlift.formats.row import Place, Reader, Row
from pairlift.storage import Stamp, read_stamp

BUFFER = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A chunk of an input; of Parquet, rows that are one chunk, or several when they are large.

    Attributes:
        input: The input's name.
        stamp: What it was known by.
        place: Of the first row.
        rows: How many.
        end: The byte after the last row, uncompressed; None in Parquet.
    """

    format: int = 1
    input: str
    stamp: Stamp
    place: Place
    rows: int
    end: int | None


def plan_file(name: str, quoting: str | None = None) -> Iterator[Descriptor]:
    """Yield the chunks of a file or an object, in order.

    Args:
        name: The input.
        quoting: As the option `--quoting`.

    Raises:
        UsageError: It is standard input, or its extension is none of ours.
        InputError: It cannot be read.
    """
    if name == STREAM:
        raise UsageError("-: standard input can be read once only, and not by several; name a file or an object")
    found = format_of(name, None, quoting)
    with open_input(name) as file:
        yield from plan_rows(name, file, found)


def plan_rows(name: str, file: BinaryIO, found: Format) -> Iterator[Descriptor]:
    """Yield the chunks of an open input."""
    stamp = read_stamp(file)
    members = MemberStream(file, found.compression, name) if found.compression else None
    stream = cast("BinaryIO", io.BufferedReader(members, BUFFER)) if members else file
    reader = open_reader(stream, name, dataclasses.replace(found, compression=""))
    if isinstance(reader, JsonlReader | DelimitedReader):
        yield from _plan_text(name, stamp, reader, members)
    else:
        rows, step = reader.count or 0, chunk.CHUNK_ROWS
        for first in range(0, rows, step):
            yield Descriptor(input=name, stamp=stamp, place=Place(row=first), rows=min(step, rows - first), end=None)


def _plan_text(
    name: str, stamp: Stamp, reader: JsonlReader | DelimitedReader, members: MemberStream | None
) -> Iterator[Descriptor]:
    rows, first = reader.spans(), 0
    while windows := list(take_windows(rows, first)):
        count = sum(map(len, windows))
        head, last = windows[0][0], windows[-1][-1]
        place = Place(row=first, line=head.line, start=head.start)
        if members is not None and head.start is not None:
            member, skip = members.find(head.start)
            place = dataclasses.replace(place, member=member, skip=skip)
        yield Descriptor(input=name, stamp=stamp, place=place, rows=count, end=last.end)
        first += count


def group_descriptors(descriptors: Iterable[Descriptor], found: Format) -> Iterator[list[Descriptor]]:
    """Yield the chunks that one worker does one after the other: those that begin in the same gzip member or zstd frame.

    To come to the second of them takes reading the first. A file that is one member is one group.
    """
    if not found.compression:
        yield from ([descriptor] for descriptor in descriptors)
        return
    for _, group in itertools.groupby(descriptors, key=lambda descriptor: descriptor.place.member):
        yield list(group)


def explain_plan(last: Descriptor) -> str | None:
    """Return what is to be known of a plan by its last chunk, or None: that its file cannot be split."""
    if format_of(last.input).compression and last.place.row and not last.place.member:
        return (
            f"{last.input}: is one compressed piece and cannot be split: one worker does all of it, from its beginning; an output of "
            "pairlift has a piece for each chunk"
        )
    return None


def read_from(reader: Reader, file: BinaryIO, found: Format, descriptor: Descriptor) -> Iterator[Row]:
    """Return the rows of an input from a chunk's first one on.

    Args:
        reader: Of the input, as `open_reader` gives it.
        file: The input.
        found: Its format.
        descriptor: The chunk.
    """
    if found.kind == PARQUET:
        reader.move(file, descriptor.place)
    else:
        reader.move(reopen(file, found, descriptor.input, descriptor.place), descriptor.place)
    return iter(reader)


def take_planned(rows: Iterator[Row], descriptor: Descriptor) -> Iterator[Row]:
    """Yield the rows of a chunk out of rows that begin there, and hold them to the plan; a `ChangedError`."""
    last: Row | None = None
    for _ in range(descriptor.rows):
        row = next(rows, None)
        if row is None:
            break
        last = row
        yield row
    taken = 0 if last is None else last.number + 1 - descriptor.place.row
    if taken != descriptor.rows or (last is not None and last.end != descriptor.end):
        raise ChangedError(
            f"{descriptor.input}: the rows from {descriptor.place.row} on are not where the plan says; make the plan again"
        )
