"""The receipts of a job: which chunks are done, and whether they still are as they were written."""

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
    """Chunks that were done are not as they were written.

    Attributes:
        keys: Their names.
    """

    def __init__(self, keys: list[Key]) -> None:
        super().__init__(f"{len(keys)} chunks are not as they were written")
        self.keys = keys


class Receipts:
    """The chunks of a job that are done, as far as this process knows.

    Attributes:
        job: The job.
        receipts: The chunks that are done.
        tally: What became of their rows.
        redone: How many chunks were found damaged, and are done again.
    """

    def __init__(self, store: Store, names: Names, job: JobRecord, *, verified: bool) -> None:
        """Read the receipts that are there.

        Args:
            store, names: Where the output is made.
            job: The job.
            verified: Whether chunks that are not as they were written are forgotten.
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
        """What makes its chunks durable; can be sent to another process."""
        return Keeper(store=self._store, names=self._names, mark=self.job.mark)

    @property
    def size(self) -> int:
        """How many bytes the commit reads."""
        return sum(receipt.size for receipt in self.receipts.values())

    def update(self) -> None:
        """Take note of what other processes have done meanwhile."""
        names, mark = self._names, self.job.mark
        known = {names.receipt(mark, key) for key in self.receipts}
        listed = self._store.names(names.folder_of(mark))
        new = [name for name in listed if name not in known and names.find_receipt(name, mark)]
        for name, data in self._store.read_all(new).items():
            receipt = load_receipt(self._store, names, name, data)
            if receipt is not None:  # else damaged: the chunk is done again
                self.note(receipt)

    def note(self, receipt: Receipt) -> None:
        """Take note that a chunk is done."""
        if receipt.key not in self.receipts:
            self.receipts[receipt.key] = receipt
            self.tally += receipt.tally

    def is_at_work(self) -> bool:
        """Return whether no other job has taken the place of this one."""
        return read_mark(self._store, self._names) == self.job.mark

    def covers(self, key: Key, rows: int) -> bool:
        """Return whether rows of a lot are done, in one chunk or several."""
        row, end = key.row, key.row + rows
        while row < end and (receipt := self.receipts.get(Key(key.lot, row))) is not None:
            row += receipt.tally.rows
        return row >= end

    def drop(self, keys: list[Key]) -> None:
        """Forget chunks, which are done again.

        Raises:
            DestinationError: The job is not at work any more, which is why its files are gone.
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
        """Yield files of the chunks, each held to what it was when it was written; else a `DamagedError`."""
        for receipt in self._ordered():
            stored = which(receipt)
            if stored is None:
                continue
            data = self._store.read(name_of(self.job.mark, receipt.key))
            if data is None or sha256_bytes(data) != stored.sha256:
                raise DamagedError(self._find_altered(self._ordered()) or [receipt.key])
            yield io.BytesIO(data)
