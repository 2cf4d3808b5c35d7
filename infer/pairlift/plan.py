"""The plan of a job: its chunks as descriptors, each of which says where its rows are, so that any machine can do it.

One pass over the inputs. Ends of rows are looked for and nothing else in JSON lines; CSV and TSV are read, for a quote may hide an
end; of Parquet only the footer is.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, cast

from pairlift import chunk
from pairlift.chunk import take_windows
from pairlift.errors import ChangedError, EmptyError, UsageError
from pairlift.formats import PARQUET, STREAM, Format, check_alike, format_of, open_input, open_reader, reopen
from pairlift.formats.delimited import DelimitedReader
from pairlift.formats.jsonl import JsonlReader
from pairlift.formats.members import MemberStream
from pairlift.formats.row import Place, Reader, Row
from pairlift.storage import Stamp, read_stamp

BUFFER = 1 << 20
Part = tuple[Place, int, int | None]  # of an input: where it begins, how many rows it has, and the byte after them


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A chunk of an input; of Parquet, rows that are one chunk, or several when they are large.

    Attributes:
        input: The input's name.
        stamp: What it was known by.
        first: The number of the first row in all inputs of the job.
        place: Of that row in its input.
        rows: How many.
        end: The byte after the last row, uncompressed; None in Parquet.
    """

    format: int = 2
    input: str
    stamp: Stamp
    first: int
    place: Place
    rows: int
    end: int | None


def plan_files(names: Sequence[str], quoting: str | None = None) -> Iterator[Descriptor]:
    """Yield the chunks of a job's inputs, in order.

    Args:
        names: The inputs, as `find_inputs` gives them.
        quoting: As the option `--quoting`.

    Raises:
        UsageError: One is standard input, or has an extension that is none of ours.
        InputError: One cannot be read, or has other columns than the first.
    """
    if STREAM in names:
        raise UsageError("-: standard input can be read once only, and not by several; name a file or an object")
    yield from plan_inputs(names, format_of(names[0], None, quoting))


def plan_inputs(names: Sequence[str], found: Format) -> Iterator[Descriptor]:
    """Yield the chunks of inputs of one format; as `plan_files`."""
    leader: Reader | None = None
    before = 0
    for name in names:
        with open_input(name) as file:
            stamp = read_stamp(file)
            members = MemberStream(file, found.compression, name) if found.compression else None
            stream = cast("BinaryIO", io.BufferedReader(members, BUFFER)) if members else file
            try:
                reader = open_reader(stream, name, dataclasses.replace(found, compression=""))
            except EmptyError:
                if len(names) == 1:
                    raise
                continue
            leader = leader or reader
            check_alike(reader, leader, name, names[0])
            parts = (
                _plan_text(reader, members)
                if isinstance(reader, JsonlReader | DelimitedReader)
                else _plan_parquet(reader)
            )
            rows = 0
            for place, count, end in parts:
                yield Descriptor(input=name, stamp=stamp, first=before + rows, place=place, rows=count, end=end)
                rows += count
            before += rows


def _plan_text(reader: JsonlReader | DelimitedReader, members: MemberStream | None) -> Iterator[Part]:
    rows, first = reader.spans(), 0
    while windows := list(take_windows(rows, first)):
        count = sum(map(len, windows))
        head, last = windows[0][0], windows[-1][-1]
        place = Place(row=first, line=head.line, start=head.start)
        if members is not None and head.start is not None:
            member, skip = members.find(head.start)
            place = dataclasses.replace(place, member=member, skip=skip)
        yield place, count, last.end
        first += count


def _plan_parquet(reader: Reader) -> Iterator[Part]:
    rows, step = reader.count or 0, chunk.CHUNK_ROWS
    yield from ((Place(row=first), min(step, rows - first), None) for first in range(0, rows, step))


def group_descriptors(descriptors: Iterable[Descriptor], found: Format) -> Iterator[list[Descriptor]]:
    """Yield the chunks that one worker does one after the other: those that begin in the same gzip member or zstd frame of an input.

    To come to the second of them takes reading the first. A file that is one member is one group.
    """
    if not found.compression:
        yield from ([descriptor] for descriptor in descriptors)
        return
    for _, group in itertools.groupby(descriptors, key=lambda descriptor: (descriptor.input, descriptor.place.member)):
        yield list(group)


def explain_plan(lasts: Sequence[Descriptor]) -> str | None:
    """Return what is to be known of a plan by the last chunk of each input, or None: that files cannot be split."""
    pieces = [d.input for d in lasts if format_of(d.input).compression and d.place.row and not d.place.member]
    if not pieces:
        return None
    advice = "from its beginning; an output of pairlift has a piece for each chunk"
    if len(pieces) == 1:
        return f"{pieces[0]}: is one compressed piece and cannot be split: one worker does all of it, {advice}"
    others = f"{len(pieces) - 1} other inputs"
    return f"{pieces[0]}: and {others} are one compressed piece each and cannot be split: one worker does all of one, {advice}"


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
