"""The ledger of a job: the durable record of its finished chunks, and the commit, which happens once.

Any number of processes may work on one output, and any of them may be suspended or killed at any point. Four rules keep
them from damaging each other's work:

* When a job begins, it draws a random mark. It writes the mark, its identity and the versions of the files that it may
  replace to `job.json`. A later process with the same identity joins the job. The names of all its parts and temporary
  files contain the mark. So the files of two jobs are never confused, and a process that wakes up after its job has
  ended can do no harm.
* A chunk is done when its receipt exists. The receipt is written once, after the chunk's files. If the files do not
  match the receipt, the receipt is ignored, and the chunk is computed again.
* The commit replaces one file (the manifest of an output of parts, or else the output itself), and only if it still has
  the version that it had when the job began. So exactly one of several jobs commits, and the others find its output.
  The rejected rows and the manifest of one file are written after its commit. The manifest is recorded beforehand, so
  if a process dies between these steps, the next process writes the missing files.
* The parts of a job are removed only when it can never commit: after another job has committed, or after a verdict that
  the job is abandoned. A verdict is written once. If a job has a verdict to commit, any process that finds the verdict
  completes the commit.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from pairlift import record
from pairlift.digest import FileDigest, sha256_bytes
from pairlift.errors import ChangedError, DestinationError, StorageError
from pairlift.formats.row import Writer
from pairlift.formats.text import join_files
from pairlift.names import Names
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
    is_published,
    prepare,
    publish,
    read_manifest,
    remove_jobs,
    writing,
)
from pairlift.outputs.lock import Lock
from pairlift.outputs.receipts import DamagedError, Receipts
from pairlift.outputs.records import JobManifest, JobRecord, LastRun, Verdict
from pairlift.storage.store import Store, Stored

REMOVED = "was removed while the job was committed; run the same command again"
MADE_MEANWHILE = "was made by another process meanwhile; choose another name, or add --force to replace it"


class Ledger(Receipts):
    """The finished chunks of a job, and its commit.

    Attributes:
        fresh: Whether this process began the job.
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
        """Begin or continue a job, with the chunks that earlier processes finished.

        Args:
            store, names: The store of the output and the names in it.
            job: The job.
            lock: The lock of a local file, which only one process writes; otherwise None.
            fresh: Whether this process began the job.
            committed: Whether its output exists, so that its chunks need no check.
        """
        super().__init__(store, names, job, verified=not committed)
        self.fresh, self._lock = fresh, lock
        self._dead: tuple[str, ...] = ()

    @property
    def one_process(self) -> bool:
        """Whether only one process can work on the job, because its output is a local file."""
        return self._lock is not None

    def commit(self, writer: Writer, labels: tuple[str, ...], last_run: LastRun) -> JobManifest:
        """Assemble the output from the chunks, all of which are done, commit it, and return its manifest.

        Raises:
            DamagedError: Some chunks have changed since they were written.
            DestinationError: Another process has made the output meanwhile, or has started the job over.
            StorageError: The output cannot be written.
        """
        if self._names.whole:
            return self._commit_parts(labels, last_run)
        return self._commit_file(writer, labels, last_run)

    def leave(self) -> None:
        """Remove the job's temporary files after its commit."""
        if self._lock is not None:
            self._lock.clear()
        else:
            clean_up(self._store, self._names, self.job.mark, self._dead)

    def discard(self) -> None:
        """Remove the chunks of a job that cannot be finished, unless another process has committed it."""
        if self._lock is not None:
            self._lock.check()
            self._lock.clear()
            return
        fate = abandon(self._store, self._names, self.job)
        if fate is Fate.COMMITTED:
            # Another process committed the job. It cleaned up before this process wrote its last file, or has yet to
            # write the manifest.
            if is_published(self._store, self._names, self.job.mark):
                clean_up(self._store, self._names, self.job.mark, ())
        elif fate is Fate.DEAD:
            verdict = self._names.verdict(self.job.mark)
            remove_jobs(self._store, self._names, [self.job.mark], but=[verdict])
            if self.is_at_work():
                self._store.remove([self._names.job])

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
        """Remove the manifest again if somebody removed parts during the commit."""
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
        """Write the rejected rows and then the manifest of one file or object that is committed.

        They replace only the versions that existed when the job began, and nothing that another job has written since.
        """
        self._put_rejects(manifest.rejects, self.job.replaced.rejects)
        store, names = self._store, self._names
        data = writing(record.dump(manifest))
        if store.swap(names.manifest, data, manifest.mark, self.job.replaced.manifest) is None:
            found = read_manifest(store, names)
            if found is None or found.mark != manifest.mark:
                raise DestinationError(f"{self._shown}: {MADE_MEANWHILE}")

    def _measure_rejects(self) -> FileDigest | None:
        """Return size and digest of the future file of rejected rows, or None if no rows were rejected."""
        if not self.tally.rejected:
            return None
        digest, size = hashlib.sha256(), 0
        for part in self._open(lambda receipt: receipt.rejects, self._names.rejected):
            data = part.read()
            digest.update(data)
            size += len(data)
        return FileDigest(path=self._names.rejects(self.job.mark), size=size, sha256=digest.hexdigest())

    def _put_rejects(self, rejects: FileDigest | None, expected: str | None) -> None:
        """Write the rejected rows, unless another process of this job has done so; remove those of a replaced job."""
        name, store, mark = self._names.rejects(self.job.mark), self._store, self.job.mark
        if rejects is None:
            if expected is not None and self._lock is not None:
                store.remove([name])
            elif expected is not None:  # a store cannot remove one version only, so an empty file replaces it
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
