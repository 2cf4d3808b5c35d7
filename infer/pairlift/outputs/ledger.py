"""The ledger of a job: which chunks are done, durably; and the commit, which happens once.

Any number of processes may work at one output, and any of them may be suspended or killed anywhere. What holds them apart:

* A job draws a mark when it begins, and writes it, with its identity and the version of what it may replace, to `job.json`. Who
  comes later with the same identity joins it. Every file that it makes has the mark in its name, so one job's files are never
  taken for another's, and a process that wakes up after its job is over can do no harm.
* A chunk is done when its receipt is there, which is written once, after its files. A receipt whose files are not as it says
  counts for nothing, and its chunk is done again.
* The commit replaces one file, and only the version of it that was there when the job began: the manifest of an output of
  parts, or the output itself. So of several jobs one commits, and the others find it. The rejected rows and the manifest of one
  file follow it; whoever finds that they have not puts them there, for the manifest was written down before.
* The parts of a job are removed only when it can never commit: after another job has committed, or after a verdict, which is
  written once, says that it is abandoned. A job that has a verdict that it is committed is helped by whoever finds it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pairlift import record
from pairlift.counts import Tally
from pairlift.digest import FileDigest, sha256_bytes
from pairlift.errors import ChangedError, DestinationError, StorageError
from pairlift.formats.row import Writer
from pairlift.formats.text import join_files
from pairlift.names import Key, Names
from pairlift.outputs.jobs import (
    START_OVER,
    STARTED_OVER,
    Fate,
    abandon,
    clean_up,
    decide,
    find_altered,
    find_marks,
    is_of,
    prepare,
    publish,
    read_manifest,
    read_mark,
    remove_jobs,
    writing,
)
from pairlift.outputs.keeper import Keeper, load_receipt
from pairlift.outputs.lock import Lock
from pairlift.outputs.records import JobManifest, JobRecord, LastRun, Receipt, Verdict
from pairlift.storage.store import Store, Stored

REMOVED = "was removed while the job was committed; run the same command again"
MADE_MEANWHILE = "was made by another process meanwhile; choose another name, or add --force to replace it"


class DamagedError(Exception):
    """Chunks that were done are not as they were written.

    Attributes:
        keys: Their names.
    """

    def __init__(self, keys: list[Key]) -> None:
        super().__init__(f"{len(keys)} chunks are not as they were written")
        self.keys = keys


class Ledger:
    """What is done of a job.

    Attributes:
        job: The job.
        receipts: The chunks that are done.
        tally: What became of their rows.
        redone: How many chunks were found damaged, and are done again.
        fresh: Whether this process has begun the job.
    """

    def __init__(
        self,
        store: Store,
        names: Names,
        job: JobRecord,
        lock: Lock | None = None,
        *,
        fresh: bool = False,
        committed: bool = False,
    ) -> None:
        """Take up a job, with what earlier processes have done of it.

        Args:
            store, names: Where its output is made.
            job: The job.
            lock: Of a local file, which one process makes.
            fresh: Whether this process has begun the job.
            committed: Whether its output is there, so that its chunks are of no matter any more.
        """
        self.job, self._store, self._names, self._lock = job, store, names, lock
        self.fresh = fresh
        self._dead: tuple[str, ...] = ()
        self.receipts: dict[Key, Receipt] = {}
        self.tally = Tally()
        self.redone = 0
        self.update()
        if not committed:
            self._verify()

    @property
    def keeper(self) -> Keeper:
        """What makes its chunks durable; can be sent to another process."""
        return Keeper(store=self._store, names=self._names, mark=self.job.mark)

    @property
    def size(self) -> int:
        """How many bytes the commit reads."""
        return sum(receipt.size for receipt in self.receipts.values())

    @property
    def one_process(self) -> bool:
        """Whether no other process can work at the job: its output is a local file."""
        return self._lock is not None

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

    def _verify(self) -> None:
        """Forget the chunks that are not as they were written."""
        altered = self._find_altered(list(self.receipts.values()))
        self._forget(altered)

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

    def commit(self, writer: Writer, labels: tuple[str, ...], last_run: LastRun) -> JobManifest:
        """Make the output out of the chunks, all of which are done, and return its manifest.

        Raises:
            DamagedError: Some of them are not as they were written.
            DestinationError: Another process has made the output meanwhile, or has started the job over.
            StorageError: The output cannot be written.
        """
        if self._names.whole:
            return self._commit_parts(labels, last_run)
        return self._commit_file(writer, labels, last_run)

    def leave(self) -> None:
        """Remove what goes when the job is done; the output is there."""
        if self._lock is not None:
            self._lock.clear()
        else:
            clean_up(self._store, self._names, self.job.mark, self._dead)

    def discard(self) -> None:
        """Remove what was done of a job that cannot come to an end, unless another process has committed it."""
        if self._lock is not None:
            self._lock.check()
            self._lock.clear()
            return
        fate = abandon(self._store, self._names, self.job)
        if (
            fate is Fate.COMMITTED
        ):  # by another process, which has cleaned up before this one wrote the last of its files
            clean_up(self._store, self._names, self.job.mark, ())
        elif fate is Fate.DEAD:
            verdict = self._names.verdict(self.job.mark)
            remove_jobs(self._store, self._names, [self.job.mark], but=[verdict])
            if self.is_at_work():
                self._store.remove([self._names.job])

    @property
    def _shown(self) -> str:
        return self._store.root + self._names.output

    def _commit_parts(self, labels: tuple[str, ...], last_run: LastRun) -> JobManifest:
        altered = self._find_altered(self._ordered())
        if altered:
            raise DamagedError(altered)
        mark, store, names = self.job.mark, self._store, self._names
        rejects = self._measure_rejects()
        self._put_rejects(rejects, None)
        made = self._describe(labels, last_run, self._describe_parts(), rejects)
        dead = tuple(sorted(find_marks(store, names) - {mark}))
        verdict = decide(store, names, mark, Verdict(manifest=made, dead=dead, replaced=self.job.replaced))
        if verdict.manifest is None:
            raise DestinationError(f"{self._shown}: {STARTED_OVER}")
        if verdict.manifest != made and find_altered(store, verdict.manifest):
            raise ChangedError(
                f"{self._shown}: another process was about to commit other parts, which are damaged; {START_OVER}"
            )
        if not publish(store, names, self.job, verdict.manifest):
            raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")
        self._dead = verdict.dead
        self._check_published(verdict.manifest)
        return verdict.manifest

    def _check_published(self, manifest: JobManifest) -> None:
        """Take the manifest back if somebody has removed parts while the job was committed."""
        there = self._store.find("part-")
        lost = [part.path for part in manifest.parts if part.path not in there]
        if lost:
            found = read_manifest(self._store, self._names)
            if found is not None and found.mark == manifest.mark:
                self._store.remove([self._names.manifest])
            raise StorageError(f"{self._store.root}{lost[0]}: {REMOVED}")

    def _commit_file(self, writer: Writer, labels: tuple[str, ...], last_run: LastRun) -> JobManifest:
        made: list[JobManifest] = []
        rejects = self._measure_rejects()
        self._dead = tuple(find_marks(self._store, self._names))

        def ready(stored: Stored) -> None:
            found = FileDigest(path=self._names.output, size=stored.size, sha256=stored.sha256)
            manifest = self._describe(labels, last_run, (found,), rejects)
            made.append(prepare(self._store, self._names, self.job, manifest))
            if self._lock is not None:
                self._lock.check()

        def write(file: BinaryIO) -> None:
            writer.join(self._open(lambda receipt: receipt.part, self._names.part), file)

        name, mark = self._names.output, self.job.mark
        done = self._store.swap(name, write, mark, self.job.replaced.output, ready) is not None
        if not done and not is_of(self._store.look(name), made[0]):
            raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")
        self.put_beside(made[0])
        there = self._store.stat(name)
        if there is None:
            raise StorageError(f"{self._shown}: {REMOVED}")
        if there.mark not in (None, mark):
            raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")
        return made[0]

    def put_beside(self, manifest: JobManifest) -> None:
        """Write the rejected rows and the manifest of one file or object, which is there; the manifest last.

        They replace what was there when the job began, and nothing that another job has written since.
        """
        self._put_rejects(manifest.rejects, self.job.replaced.rejects)
        store, names = self._store, self._names
        data = writing(record.dump(manifest))
        if store.swap(names.manifest, data, manifest.mark, self.job.replaced.manifest) is None:
            found = read_manifest(store, names)
            if found is None or found.mark != manifest.mark:
                raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")

    def _measure_rejects(self) -> FileDigest | None:
        """Return what the file of the rejected rows will be, or None if there are none."""
        if not self.tally.rejected:
            return None
        digest, size = hashlib.sha256(), 0
        for part in self._open(lambda receipt: receipt.rejects, self._names.rejected):
            data = part.read()
            digest.update(data)
            size += len(data)
        return FileDigest(path=self._names.rejects(self.job.mark), size=size, sha256=digest.hexdigest())

    def _put_rejects(self, rejects: FileDigest | None, expected: str | None) -> None:
        """Write the rejected rows, or leave them if a twin has written them; none are left of a job that is replaced."""
        name, store, mark = self._names.rejects(self.job.mark), self._store, self.job.mark
        if rejects is None:
            if expected is not None and self._lock is not None:
                store.remove([name])
            elif expected is not None:  # a store has no removal of one version only
                store.swap(name, lambda file: None, mark, expected)
            return

        def write(file: BinaryIO) -> None:
            join_files(self._open(lambda receipt: receipt.rejects, self._names.rejected), file)

        def ready(stored: Stored) -> None:
            if stored.sha256 != rejects.sha256:
                raise DestinationError(
                    f"{store.root}{name}: the rejected rows of this output are damaged; remove the output"
                )

        if store.swap(name, write, mark, expected, ready) is None:
            found = store.look(name)
            if found is None or (found.sha256 != rejects.sha256 if found.mark is None else found.mark != mark):
                raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")

    def _describe(
        self, labels: tuple[str, ...], last_run: LastRun, files: tuple[FileDigest, ...], rejects: FileDigest | None
    ) -> JobManifest:
        totals = self.tally
        if totals.rows != totals.scored + sum(totals.rejected.values()):
            raise AssertionError(f"{totals.rows} rows, {totals.scored} scored, rejected {totals.rejected}")
        of_all = sha256_bytes("".join(f"{file.sha256}\n" for file in files).encode())
        return JobManifest(
            mark=self.job.mark,
            job=self.job.identity,
            totals=totals,
            rates={"unknown_tokens": totals.texts.unknown_rate, "padding": totals.texts.padding_rate},
            labels=labels,
            output_size=sum(file.size for file in files),
            output_sha256=of_all if self._names.whole else files[0].sha256,
            last_run=last_run,
            parts=files if self._names.whole else (),
            rejects=rejects,
        )

    def _describe_parts(self) -> tuple[FileDigest, ...]:
        mark = self.job.mark
        return tuple(
            FileDigest(path=self._names.part(mark, each.key), size=each.part.size, sha256=each.part.sha256)
            for each in self._ordered()
            if each.part
        )

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
