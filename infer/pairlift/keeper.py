"""The keeper of a job's parts in a store: each file written once, by whoever comes first.

Where there can be no lock, on S3 and on a cluster, several processes may work at one job. A file is only ever made, never
written over; who comes second takes what is there, if it is of the same job.
"""

from __future__ import annotations

import dataclasses
import io

import orjson

from pairlift import record
from pairlift.chunk import Chunk
from pairlift.digest import sha256_bytes
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.formats.row import Writer
from pairlift.journal import Entry
from pairlift.storage.store import Found, Store, open_store


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

    def part(self, first: int) -> str:
        """Return the name of a chunk's records, by its first row."""
        return f"{self.parts}{first:012d}{self.suffix}"

    def rejects(self, first: int) -> str:
        """Return the name of a chunk's rejected rows."""
        return f"{self.folder}{first:012d}.rejects"

    def entry(self, first: int) -> str:
        """Return the name of what is said of a chunk that is done."""
        return f"{self.folder}{first:012d}.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartsKeeper:
    """Makes chunks durable in a store, in any process that can write to it.

    Attributes:
        root: The store.
        layout: Where its files lie.
        mark: Of the job, on each of its files.
    """

    root: str
    layout: Layout
    mark: str

    def keep(self, chunk: Chunk, writer: Writer) -> Entry:
        """Make a chunk durable, then say so; return what is said of it, by whoever came first.

        Raises:
            DestinationError: Another job is at work here.
            ChangedError: The chunk was done from other rows.
        """
        store = open_store(self.root)
        part = self._keep(store, self.layout.part(chunk.first), self._complete(chunk.output, writer))
        rejects = (
            self._keep(store, self.layout.rejects(chunk.first), chunk.rejects)
            if chunk.rejects
            else Found(job=self.mark, size=0, sha256=sha256_bytes(b""))
        )
        entry = Entry(
            first=chunk.first,
            tally=chunk.tally,
            source=chunk.source,
            output_size=part.size,
            output_sha256=part.sha256,
            rejects_size=rejects.size,
            rejects_sha256=rejects.sha256,
        )
        name = self.layout.entry(chunk.first)
        data = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        while not store.create(name, data, self.mark):
            found = read_entry(store, name)
            if found is not None:
                entry = found
                break
        if (entry.first, entry.source) != (chunk.first, chunk.source):
            raise ChangedError(
                f"{self.root}{name}: the chunk of row {chunk.first} was made from other rows; --restart to begin again"
            )
        return entry

    def _complete(self, output: bytes, writer: Writer) -> bytes:
        """Return a chunk's records as its part holds them."""
        if not self.layout.whole:
            return output
        file = io.BytesIO()
        writer.join([io.BytesIO(output)] if output else [], file)
        return file.getvalue()

    def _keep(self, store: Store, name: str, data: bytes) -> Found:
        found = None
        while found is None:  # what has just been there goes when the job is done
            if store.create(name, data, self.mark):
                return Found(job=self.mark, size=len(data), sha256=sha256_bytes(data))
            found = store.look(name)
        if found.job not in (None, self.mark):
            raise DestinationError(
                f"{self.root}{name}: another job is at work here; wait for it, or choose another name"
            )
        return found


def read_entry(store: Store, name: str) -> Entry | None:
    """Return what is said of a chunk, or None when it is not there any more.

    Raises:
        ChangedError: It cannot be read.
    """
    data = store.read(name)
    if data is None:
        return None
    try:
        return record.load(Entry, data, store.root + name)
    except RecordError as error:
        raise ChangedError(f"{error}; --restart begins the job again") from None
