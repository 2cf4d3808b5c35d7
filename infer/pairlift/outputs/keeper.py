"""The keeper: makes chunks durable, in any process that can write to the store, concurrently with other processes."""

from __future__ import annotations

import dataclasses
import io

import orjson

from pairlift import record
from pairlift.digest import sha256_bytes
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.formats.row import Writer
from pairlift.names import Names
from pairlift.outputs.jobs import read_mark, writing
from pairlift.outputs.records import Chunk, Receipt
from pairlift.storage.store import Store, Stored


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Makes the chunks of one job durable.

    Attributes:
        store: Where the output is made.
        names: The names of its files.
        mark: The job's mark.
    """

    store: Store
    names: Names
    mark: str

    def keep(self, chunk: Chunk, writer: Writer) -> Receipt:
        """Make a chunk durable, then write its receipt; return the receipt of the process that finished it first.

        Files of the chunk that do not match its receipt are written again.

        Raises:
            ChangedError: Another process computed the chunk from other rows.
            DestinationError: Another job has replaced this one.
        """
        data = self._complete(chunk, writer)
        name = self.names.receipt(self.mark, chunk.key)
        self._check_alive()
        receipt = self._make(chunk, data, over=False)
        if receipt is not None and self.store.create(name, _dump(receipt), self.mark):
            return receipt
        while True:
            version, receipt = read_receipt(self.store, self.names, name)
            if receipt is not None and self.is_sound(receipt):
                break
            receipt = self._make(chunk, data, over=True)
            assert receipt is not None
            if self.store.swap(name, writing(_dump(receipt)), self.mark, version):
                break
        if receipt.source != chunk.source:
            raise ChangedError(
                f"{self.store.root}{name}: the chunk was computed from other rows; restore the original input, or start over "
                "with --restart"
            )
        return receipt

    def is_sound(self, receipt: Receipt) -> bool:
        """Return whether a chunk's files match its receipt."""
        return not self.store.find_altered(self.files_of(receipt))

    def files_of(self, receipt: Receipt) -> dict[str, Stored]:
        """Return the files of a chunk by name."""
        files = {
            self.names.part(self.mark, receipt.key): receipt.part,
            self.names.rejected(self.mark, receipt.key): receipt.rejects,
        }
        return {name: stored for name, stored in files.items() if stored}

    def _complete(self, chunk: Chunk, writer: Writer) -> bytes:
        """Return the bytes of a chunk's part; nothing if no row was scored, because a part has at least one row."""
        if not self.names.whole or not chunk.tally.scored:
            return chunk.output if chunk.tally.scored else b""
        file = io.BytesIO()
        writer.join([io.BytesIO(chunk.output)], file)
        return file.getvalue()

    def _check_alive(self) -> None:
        """Raise a `DestinationError` if another job is now the current one: this part would be among its parts."""
        if self.names.whole and read_mark(self.store, self.names) != self.mark:
            raise DestinationError(
                f"{self.store.root}: another process has finished this job, or another job has taken its place; run the same "
                "command again to see which"
            )

    def _make(self, chunk: Chunk, data: bytes, over: bool) -> Receipt | None:
        """Write a chunk's files, and return its receipt; None if different files exist and may not be overwritten."""
        files = []
        names = (self.names.part(self.mark, chunk.key), self.names.rejected(self.mark, chunk.key))
        for name, body in zip(names, (data, chunk.rejects), strict=True):
            stored = self._put(name, body, over) if body else None
            if stored is None and body:
                return None
            files.append(stored)
        return Receipt(
            mark=self.mark, lot=chunk.key.lot, row=chunk.key.row, tally=chunk.tally, source=chunk.source,
            part=files[0], rejects=files[1],
        )  # fmt: skip

    def _put(self, name: str, data: bytes, over: bool) -> Stored | None:
        stored = self.store.create(name, data, self.mark)
        while stored is None:
            found = self.store.look(name)
            if found is not None and found.sha256 == sha256_bytes(data):
                # In a bucket, the digest comes from the object's metadata, and the version shows that the object is
                # unchanged.
                return Stored(size=len(data), sha256=found.sha256, version="" if found.mark is None else found.version)
            if found is not None and not over:
                return None
            stored = self.store.swap(name, writing(data), self.mark, found.version if found else None)
        return stored


def _dump(receipt: Receipt) -> bytes:
    return orjson.dumps(receipt, option=orjson.OPT_SORT_KEYS)


def read_receipt(store: Store, names: Names, name: str) -> tuple[str | None, Receipt | None]:
    """Return the version of a receipt (None if it does not exist), and the receipt (None if it cannot be read)."""
    found = store.look(name)
    data = store.read(name) if found else None
    if found is None or data is None:
        return None, None
    return found.version, load_receipt(store, names, name, data)


def load_receipt(store: Store, names: Names, name: str, data: bytes) -> Receipt | None:
    """Return a receipt, or None if it cannot be read or belongs to another chunk or job."""
    try:
        receipt = record.load(Receipt, data, store.root + name)
    except RecordError:
        return None
    return receipt if names.receipt(receipt.mark, receipt.key) == name else None
