"""The receipts of a job: which chunks are done, and whether their files still match their receipts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pairlift.digest import sha256_bytes
from pairlift.encoding.counts import Tally
from pairlift.errors import DestinationError
from pairlift.names import Key, Names
from pairlift.outputs.jobs import read_mark
from pairlift.outputs.keeper import Keeper, load_receipt
from pairlift.outputs.records import JobRecord, Receipt
from pairlift.storage.store import Store, Stored


class DamagedError(Exception):
    """The files of some finished chunks do not match their receipts.

    Attributes:
        keys: The names of the chunks.
    """

    def __init__(self, keys: list[Key]) -> None:
        super().__init__(f"finished chunks whose files do not match their checksums: {len(keys)}")
        self.keys = keys


class Receipts:
    """The finished chunks of a job, as far as this process knows.

    Attributes:
        job: The job.
        receipts: The receipts of the finished chunks.
        tally: The sum of their counts.
        redone: The number of damaged chunks, which are computed again.
    """

    def __init__(self, store: Store, names: Names, job: JobRecord, *, verified: bool) -> None:
        """Read the existing receipts.

        Args:
            store, names: The store of the output and the names in it.
            job: The job.
            verified: Whether the chunks' files are checked. Chunks that do not match their receipts are then dropped.
        """
        self.job, self._store, self._names = job, store, names
        self.receipts: dict[Key, Receipt] = {}
        self.tally = Tally()
        self.redone = 0
        self.update()
        if verified:
            self._forget(self._find_altered(list(self.receipts.values())))

    @property
    def keeper(self) -> Keeper:
        """The keeper, which makes the chunks durable; can be sent to another process."""
        return Keeper(store=self._store, names=self._names, mark=self.job.mark)

    @property
    def size(self) -> int:
        """The number of bytes that the commit reads."""
        return sum(receipt.size for receipt in self.receipts.values())

    def update(self) -> None:
        """Add the chunks that other processes have finished meanwhile."""
        names, mark = self._names, self.job.mark
        known = {names.receipt(mark, key) for key in self.receipts}
        listed = self._store.names(names.folder_of(mark))
        new = [name for name in listed if name not in known and names.find_receipt(name, mark)]
        for name, data in self._store.read_all(new).items():
            receipt = load_receipt(self._store, names, name, data)
            if receipt is not None:  # a damaged receipt is ignored, so its chunk is computed again
                self.note(receipt)

    def note(self, receipt: Receipt) -> None:
        """Add a finished chunk."""
        if receipt.key not in self.receipts:
            self.receipts[receipt.key] = receipt
            self.tally += receipt.tally

    def is_at_work(self) -> bool:
        """Return whether this is still the current job of the output."""
        return read_mark(self._store, self._names) == self.job.mark

    def covers(self, key: Key, rows: int) -> bool:
        """Return whether a range of a lot's rows is done, in one chunk or several."""
        row, end = key.row, key.row + rows
        while row < end and (receipt := self.receipts.get(Key(key.lot, row))) is not None:
            row += receipt.tally.rows
        return row >= end

    def drop(self, keys: list[Key]) -> None:
        """Drop chunks, so that they are computed again.

        Raises:
            DestinationError: This is no longer the current job, which explains why its files are missing.
        """
        if not self.is_at_work():
            raise DestinationError(f"{self._shown}: another process has finished this job or started it over")
        self._forget(keys)

    def _forget(self, keys: list[Key]) -> None:
        for key in keys:
            del self.receipts[key]
        self.redone += len(keys)
        self.tally = sum((receipt.tally for receipt in self.receipts.values()), Tally())

    @property
    def _shown(self) -> str:
        return self._store.root + self._names.output

    def _ordered(self) -> list[Receipt]:
        return [self.receipts[key] for key in sorted(self.receipts)]

    def _find_altered(self, receipts: list[Receipt]) -> list[Key]:
        keeper, expected, keys = self.keeper, dict[str, Stored](), dict[str, Key]()
        for receipt in receipts:
            files = keeper.files_of(receipt)
            expected |= files
            keys |= dict.fromkeys(files, receipt.key)
        return sorted({keys[name] for name in self._store.find_altered(expected)}) if expected else []

    def _open(
        self, which: Callable[[Receipt], Stored | None], name_of: Callable[[str, Key], str]
    ) -> Iterator[BinaryIO]:
        """Yield files of the chunks; a `DamagedError` if one does not match its digest."""
        for receipt in self._ordered():
            stored = which(receipt)
            if stored is None:
                continue
            data = self._store.read(name_of(self.job.mark, receipt.key))
            if data is None or sha256_bytes(data) != stored.sha256:
                raise DamagedError(self._find_altered(self._ordered()) or [receipt.key])
            yield io.BytesIO(data)
