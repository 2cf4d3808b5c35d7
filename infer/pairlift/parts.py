"""Parts in a store: a job's chunks, each durable, written once by whoever comes first, and each with a line that says so.

What keeps them (`keeper.py`) works without a lock; who comes to them later reads what has been said of each.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from pairlift import record
from pairlift.counts import Tally
from pairlift.digest import sha256_bytes
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.identity import Identity
from pairlift.journal import Entry
from pairlift.keeper import Layout, PartsKeeper, read_entry
from pairlift.storage import is_remote
from pairlift.storage.store import Store

READERS = 16  # entries asked for at once: each takes a round trip


class PartsJournal:
    """The parts of a job.

    Attributes:
        entries: The chunks that are done, in order, without a gap.
        tally: What became of their rows.
        later: Chunks that are done, with others before them that are not, by their first row.
        mark: Of the job, on each of its files.
    """

    def __init__(self, store: Store, keeper: PartsKeeper, entries: list[Entry]) -> None:
        self._store, self._layout, self._keeper = store, keeper.layout, keeper
        self.mark = keeper.mark
        self.entries: list[Entry] = []
        self.tally = Tally()
        self.later: dict[int, Entry] = {}
        for entry in entries:
            self.note(entry)

    @property
    def keeper(self) -> PartsKeeper:
        """What makes its chunks durable."""
        return self._keeper

    def note(self, entry: Entry) -> None:
        """Take note that a chunk is done."""
        self.later[entry.first] = entry
        while self.tally.rows in self.later:
            following = self.later.pop(self.tally.rows)
            self.entries.append(following)
            self.tally += following.tally

    def open_parts(self) -> Iterator[BinaryIO]:
        """Yield the chunks' records; errors as `open_rejects`."""
        for entry in self.entries:
            if entry.output_size:
                yield self._open(self._layout.part(entry.first), entry.output_sha256)

    def open_rejects(self) -> Iterator[BinaryIO]:
        """Yield the chunks' rejected rows.

        Raises:
            ChangedError: A file is gone, or not as it was written.
        """
        for entry in self.entries:
            if entry.rejects_size:
                yield self._open(self._layout.rejects(entry.first), entry.rejects_sha256)

    def size(self) -> int:
        """Return how many bytes are to be put together."""
        return sum(entry.output_size + entry.rejects_size for entry in self.entries)

    def remove(self) -> None:
        """Remove what goes when the job is done, the identity last."""
        remove_parts(self._store, self._layout)

    def discard(self) -> None:
        """Remove all of a job that cannot come to its end, the identity last."""
        remove_parts(self._store, self._layout, parts=True)

    def _open(self, name: str, digest: str) -> BinaryIO:
        data = self._store.read(name)
        if data is None or sha256_bytes(data) != digest:
            raise ChangedError(f"{self._store.root}{name}: is not as it was written; --restart to begin again")
        return io.BytesIO(data)


def mark_of(identity: Identity) -> str:
    """Return the mark of a job's files."""
    return sha256_bytes(record.dump(identity))


def open_parts(store: Store, layout: Layout, identity: Identity, restart: bool, resumable: bool) -> PartsJournal:
    """Open a job's parts: none, or those that processes of the same identity have made.

    Args:
        store, layout: Where they are.
        identity: The job.
        restart: Forget what is there, whatever job it is of.
        resumable: Whether another process could do the same; if not, what is there is forgotten, and the job takes no part of
            another's.

    Raises:
        ChangedError: They are another job's.
    """
    if restart or not resumable:
        remove_parts(store, layout, parts=True)
    keeper = join_parts(store, layout, identity, resumable)
    return PartsJournal(store, keeper, _read_entries(store, layout) if resumable else [])


def join_parts(store: Store, layout: Layout, identity: Identity, resumable: bool = True) -> PartsKeeper:
    """Return what makes a job's chunks durable, beside whoever else is at work on it; as `open_parts`."""
    mark = mark_of(identity) if resumable else sha256_bytes(record.dump(identity) + uuid4().bytes)
    # In other processes, on other machines, a relative path would be another directory.
    root = store.root if is_remote(store.root) else f"{Path(store.root).absolute()}/"
    where, found = store.root + layout.job, None
    while found is None:  # what has just been there goes when the job is done
        if store.create(layout.job, record.dump(identity), mark):
            return PartsKeeper(root=root, layout=layout, mark=mark)
        found = store.read(layout.job)
    if not resumable:
        raise DestinationError(f"{where}: another job is at work here; wait for it, or choose another name")
    try:
        began = record.load(Identity, found, where)
    except RecordError as error:
        raise ChangedError(f"{error}; --restart begins the job again") from None
    changed = began.difference(identity)
    if changed:
        raise ChangedError(f"{where}: the job began otherwise: {changed}; undo that, or --restart to begin again")
    return PartsKeeper(root=root, layout=layout, mark=mark)


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
    return len(number) == 12 and number.isdecimal() and name == layout.part(int(number))


def _read_entries(store: Store, layout: Layout) -> list[Entry]:
    sizes = store.sizes(layout.folder)
    names = [name for name in sizes if re.fullmatch(r"\d{12}\.json", name.removeprefix(layout.folder))]
    if layout.whole:
        sizes |= store.sizes(layout.parts)
    with ThreadPoolExecutor(READERS) as pool:
        entries = [entry for entry in pool.map(lambda name: read_entry(store, name), names) if entry]
    for entry in entries:
        files = ((layout.part(entry.first), entry.output_size), (layout.rejects(entry.first), entry.rejects_size))
        for name, size in files:
            if sizes.get(name, 0) != size or not entry.tally.rows:
                raise ChangedError(f"{store.root}{name}: is not as it was written; --restart to begin again")
    return entries
