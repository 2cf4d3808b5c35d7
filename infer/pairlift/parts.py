"""Parts in a store: a job's chunks, each durable, written once by whoever comes first, and each with a line that says so.

Where there can be no lock, on S3 and on a cluster, several processes may work at one job. A file is only ever made, never
written over; who comes second takes what is there, if it is of the same job.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO
from uuid import uuid4

import orjson

from pairlift import record
from pairlift.chunk import Chunk
from pairlift.counts import Tally
from pairlift.digest import sha256_bytes
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.formats.row import Writer
from pairlift.identity import Identity
from pairlift.journal import Entry
from pairlift.storage.store import Found, Store

READERS = 16  # entries asked for at once: each takes a round trip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a job's files lie in its store.

    Attributes:
        folder: Of what goes when the job is done; ends in `/`.
        parts: Before the number of a part.
        suffix: After it.
        whole: Whether each part is a file by itself.
    """

    folder: str
    parts: str
    suffix: str
    whole: bool

    @property
    def job(self) -> str:
        """The job's identity."""
        return f"{self.folder}job.json"

    def part(self, chunk: int) -> str:
        """Return the name of a chunk's records."""
        return f"{self.parts}{chunk:08d}{self.suffix}"

    def rejects(self, chunk: int) -> str:
        """Return the name of a chunk's rejected rows."""
        return f"{self.folder}{chunk:08d}.rejects"

    def entry(self, chunk: int) -> str:
        """Return the name of what is said of a chunk that is done."""
        return f"{self.folder}{chunk:08d}.json"


class PartsJournal:
    """The parts of a job.

    Attributes:
        entries: The chunks that are done, in order, without a gap.
        tally: What became of their rows.
        mark: Of the job, on each of its files.
    """

    def __init__(self, store: Store, layout: Layout, writer: Writer, mark: str, entries: list[Entry]) -> None:
        self._store, self._layout, self._writer = store, layout, writer
        self.mark = mark
        self.entries = entries
        self.tally = sum((entry.tally for entry in entries), Tally())

    def add(self, chunk: Chunk) -> Entry:
        """Make a chunk durable, then say so; return what is said of it, by whoever came first.

        Raises:
            DestinationError: Another job is at work here.
            ChangedError: The chunk was done from other rows.
        """
        part = self._keep(self._layout.part(chunk.number), self._complete(chunk.output))
        rejects = (
            self._keep(self._layout.rejects(chunk.number), chunk.rejects)
            if chunk.rejects
            else Found(job=self.mark, size=0, sha256=sha256_bytes(b""))
        )
        entry = Entry(
            chunk=chunk.number,
            tally=chunk.tally,
            source=chunk.source,
            output_size=part.size,
            output_sha256=part.sha256,
            rejects_size=rejects.size,
            rejects_sha256=rejects.sha256,
        )
        name = self._layout.entry(chunk.number)
        data = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        while not self._store.create(name, data, self.mark):
            found = _read_entry(self._store, name, chunk.number)
            if found is not None:
                entry = found
                break
        if entry.source != chunk.source:
            raise ChangedError(f"{self._store.root}{name}: chunk {chunk.number} was made from other rows; --restart")
        self.entries.append(entry)
        self.tally += entry.tally
        return entry

    def open_parts(self) -> Iterator[BinaryIO]:
        """Yield the chunks' records; errors as `open_rejects`."""
        for entry in self.entries:
            if entry.output_size:
                yield self._open(self._layout.part(entry.chunk), entry.output_sha256)

    def open_rejects(self) -> Iterator[BinaryIO]:
        """Yield the chunks' rejected rows.

        Raises:
            ChangedError: A file is gone, or not as it was written.
        """
        for entry in self.entries:
            if entry.rejects_size:
                yield self._open(self._layout.rejects(entry.chunk), entry.rejects_sha256)

    def size(self) -> int:
        """Return how many bytes are to be put together."""
        return sum(entry.output_size + entry.rejects_size for entry in self.entries)

    def remove(self) -> None:
        """Remove what goes when the job is done, the identity last."""
        remove_parts(self._store, self._layout)

    def _open(self, name: str, digest: str) -> BinaryIO:
        data = self._store.read(name)
        if data is None or sha256_bytes(data) != digest:
            raise ChangedError(f"{self._store.root}{name}: is not as it was written; --restart to begin again")
        return io.BytesIO(data)

    def _complete(self, output: bytes) -> bytes:
        """Return a chunk's records as its part holds them."""
        if not self._layout.whole:
            return output
        file = io.BytesIO()
        self._writer.join([io.BytesIO(output)] if output else [], file)
        return file.getvalue()

    def _keep(self, name: str, data: bytes) -> Found:
        found = None
        while found is None:  # what has just been there goes when the job is done
            if self._store.create(name, data, self.mark):
                return Found(job=self.mark, size=len(data), sha256=sha256_bytes(data))
            found = self._store.look(name)
        if found.job not in (None, self.mark):
            raise DestinationError(
                f"{self._store.root}{name}: another job is at work here; wait for it, or choose another name"
            )
        return found


def mark_of(identity: Identity) -> str:
    """Return the mark of a job's files."""
    return sha256_bytes(record.dump(identity))


def open_parts(
    store: Store, layout: Layout, writer: Writer, identity: Identity, restart: bool, resumable: bool
) -> PartsJournal:
    """Open a job's parts: none, or those that processes of the same identity have made.

    Args:
        store, layout: Where they are.
        writer: Of the output.
        identity: The job.
        restart: Forget what is there, whatever job it is of.
        resumable: Whether another process could do the same; if not, what is there is forgotten, and the job takes no part of
            another's.

    Raises:
        ChangedError: They are another job's.
    """
    if restart or not resumable:
        remove_parts(store, layout, parts=True)
    mark = mark_of(identity) if resumable else sha256_bytes(record.dump(identity) + uuid4().bytes)
    if store.create(layout.job, record.dump(identity), mark):
        return PartsJournal(store, layout, writer, mark, [])
    where = store.root + layout.job
    if not resumable:
        raise DestinationError(f"{where}: another job is at work here; wait for it, or choose another name")
    try:
        began = record.load(Identity, store.read(layout.job) or b"", where)
    except RecordError as error:
        raise ChangedError(f"{error}; --restart begins the job again") from None
    changed = began.difference(identity)
    if changed:
        raise ChangedError(f"{where}: the job began otherwise: {changed}; undo that, or --restart to begin again")
    return PartsJournal(store, layout, writer, mark, _read_entries(store, layout))


def remove_parts(store: Store, layout: Layout, parts: bool = False) -> None:
    """Remove a job's files, the identity last; of the parts only those that go when the job is done, or all."""
    names = [name for name in store.sizes(layout.folder) if name != layout.job]
    if parts and layout.whole:
        names += [name for name in store.sizes(layout.parts) if is_part(layout, name)]
    store.remove(names)
    store.remove([layout.job])


def is_part(layout: Layout, name: str) -> bool:
    """Whether a file is one of the parts, by its name."""
    number = name.removeprefix(layout.parts).removesuffix(layout.suffix)
    return len(number) == 8 and number.isdecimal() and name == layout.part(int(number))


def _read_entries(store: Store, layout: Layout) -> list[Entry]:
    sizes = store.sizes(layout.folder)
    numbers: list[int] = []
    while layout.entry(len(numbers)) in sizes:
        numbers.append(len(numbers))
    if layout.whole:
        sizes |= store.sizes(layout.parts)

    def read(number: int) -> Entry | None:
        return _read_entry(store, layout.entry(number), number)

    with ThreadPoolExecutor(READERS) as pool:
        entries = [entry for entry in pool.map(read, numbers) if entry is not None]
    for entry in entries:
        files = ((layout.part(entry.chunk), entry.output_size), (layout.rejects(entry.chunk), entry.rejects_size))
        for name, size in files:
            if sizes.get(name, 0) != size:
                raise ChangedError(f"{store.root}{name}: is not as it was written; --restart to begin again")
    return entries


def _read_entry(store: Store, name: str, number: int) -> Entry | None:
    data = store.read(name)
    if data is None:
        return None
    try:
        entry = record.load(Entry, data, store.root + name)
    except RecordError as error:
        raise ChangedError(f"{error}; --restart begins the job again") from None
    if entry.chunk != number:
        raise ChangedError(f"{store.root}{name}: says chunk {entry.chunk}; --restart to begin again")
    return entry
