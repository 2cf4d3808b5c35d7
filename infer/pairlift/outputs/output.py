"""The output of a job (a file, an object, a directory or a prefix): inspect it, and begin or continue a job."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from pairlift import record
from pairlift.errors import ChangedError, DestinationError
from pairlift.names import FOLDER, Names, draw_mark
from pairlift.outputs.existing import (
    check_replaceable,
    explain_file,
    find_parts,
    is_same_job,
    look_at_replaced,
    version_of,
)
from pairlift.outputs.identity import Identity
from pairlift.outputs.jobs import (
    OLDER,
    AtWork,
    Fate,
    abandon,
    clean_up,
    decide,
    help_commit,
    is_of,
    is_published,
    read_job,
    read_manifest,
    read_mark,
    read_verdict,
    remove_jobs,
    writing,
)
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.lock import AT_WORK, Lock, hold
from pairlift.outputs.receipts import DamagedError
from pairlift.outputs.records import JobManifest, JobRecord, Replaced, Verdict
from pairlift.outputs.strangers import refuse_beside
from pairlift.storage.directory import DirectoryStore
from pairlift.storage.store import Store

Seen = TypeVar("Seen")
ADVICE = "remove it, choose another name, or add --force to replace it"


class Output:
    """The output of a job.

    Attributes:
        name: Its name as the user gave it.
        store, names: The store of the output and the names in it.
    """

    def __init__(self, name: str, store: Store, names: Names) -> None:
        self.name, self.store, self.names = name, store, names
        self._lock: Lock | None = None

    @property
    def locked(self) -> bool:
        """Whether only one process may write it, under a lock: it is a local file."""
        return not self.names.whole and isinstance(self.store, DirectoryStore)

    def find_finished(self, identity: Identity, force: bool = False) -> JobManifest | None:
        """Return the manifest of the output if this very job made it; None if none exists, or if it may be replaced.

        Args:
            identity: The identity of the job.
            force: Whether the output of another job may be replaced.

        Raises:
            DestinationError: pairlift did not write what exists, or it was altered, or another job made it.
        """
        return self._steadily(lambda: self._find_finished(identity, force))

    def _steadily(self, look: Callable[[], Seen]) -> Seen:
        """Return the result of `look`. If it fails, repeat it as long as other processes keep changing the files.

        `look` reads one file after the other. So it may see one file before, and the next one after a change by another
        process.
        """
        seen: tuple[str | None, ...] = ()
        while True:
            try:
                return look()
            except DestinationError:
                now = self._look_around()
                if now == seen:
                    raise
                seen = now

    def _look_around(self) -> tuple[str | None, ...]:
        """Return the versions of the files that determine the state of the output."""
        names = self.names
        looked = (
            (names.manifest, names.job) if names.whole else (names.output, names.manifest, names.rejects(""), names.job)
        )
        return tuple(version_of(self.store, name) for name in looked)

    def _find_finished(self, identity: Identity, force: bool) -> JobManifest | None:
        manifest = find_parts(self.store, self.names, self.name) if self.names.whole else self._find_file()
        if manifest is None:
            return None
        if identity.is_stream:
            changed = "standard input is never assumed to be the same"
        else:
            changed = manifest.job.difference(identity)
        if not changed:
            return manifest
        if force:
            return None
        raise DestinationError(f"{self.name}: exists, made by another job: {changed}; {ADVICE}")

    def settle(self) -> None:
        """Complete a commit that a dead process began: the rejects and manifest of a file, or the manifest of parts."""
        self._check_owners()
        if not self.locked or self._lock is not None:
            self._steadily(self._settle)
        elif self.store.stat(self.names.job) is not None:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self._hold())
                except DestinationError:  # the holder settles it, or it does not belong to pairlift
                    return
                self._steadily(self._settle)

    def _check_owners(self) -> None:
        if isinstance(self.store, DirectoryStore):
            folders = ("", f"{FOLDER}/", self.names.folder) if self.names.whole else (self.names.folder,)
            for folder in folders:
                self.store.files.check_owner(folder)

    def _settle(self) -> None:
        store, names = self.store, self.names
        job = read_job(store, names).job
        if names.whole:
            verdict = read_verdict(store, names, job.mark) if job else None
            if job is not None and verdict is not None and verdict.manifest is not None:
                help_commit(store, names, job, verdict)
            return
        found, manifest = store.look(names.output), read_manifest(store, names)
        mark = found.mark if found is not None and found.mark is not None else job.mark if job else ""
        verdict = read_verdict(store, names, mark) if mark else None
        if verdict is None or verdict.manifest is None or not is_of(found, verdict.manifest):
            return
        if manifest is None or manifest.mark != mark:
            self._put_beside(verdict)

    def _put_beside(self, verdict: Verdict) -> None:
        """Write the rejected rows and the manifest of a committed file."""
        assert verdict.manifest is not None
        job = JobRecord(mark=verdict.manifest.mark, identity=verdict.manifest.job, replaced=verdict.replaced)
        try:
            Ledger(self.store, self.names, job, self._lock, committed=True).put_beside(verdict.manifest)
        except DamagedError as error:
            raise DestinationError(f"{self.name}: the rejected rows of this output are damaged; remove it") from error

    def clean(self, manifest: JobManifest) -> None:
        """Remove what a process left that died after the commit."""
        if not self.locked:
            clean_up(self.store, self.names, manifest.mark, ())
            if self.names.whole:
                self._remove_strays(manifest.mark)
        elif self.store.names(self.names.folder):
            with (
                contextlib.suppress(DestinationError),
                self._hold() as lock,
            ):  # the holder cleans up, or it does not belong to pairlift
                lock.clear()
        self.tidy(manifest)

    def _remove_strays(self, mark: str) -> None:
        """Remove parts of ended jobs: those that one of their processes wrote late, before it was killed."""
        store, names = self.store, self.names
        found = {m for name in store.names("part-") if (m := names.find_mark(name))}
        for stray in sorted(found - {mark, read_mark(store, names) or mark}):
            verdict = decide(store, names, stray, Verdict(manifest=None))
            if verdict.manifest is None and not is_published(store, names, stray):
                remove_jobs(store, names, [stray], but=[names.verdict(stray)])

    def tidy(self, manifest: JobManifest) -> None:
        """Abort unfinished writes of the output's files that dead processes left."""
        names = (self.names.output, self.names.manifest, self.names.rejects(manifest.mark))
        self.store.tidy([name for name in names if name])

    @contextlib.contextmanager
    def open(
        self, identity: Identity, *, restart: bool = False, force: bool = False, resumable: bool = True
    ) -> Iterator[Ledger | None]:
        """Continue a job, or begin it; yield None if its output is already finished.

        Args:
            identity: The identity of the job.
            restart: Start over, and discard the chunks of an unfinished job.
            force: Replace the output of another job, finished or not.
            resumable: Whether the job can be resumed. If not, it does not continue an earlier one.

        Raises:
            ChangedError: Another job is unfinished here.
            DestinationError: The output exists, or another process holds its lock.
        """
        with self._hold() if self.locked else contextlib.nullcontext():
            ledger = self._steadily(lambda: self._begin(identity, restart, force, resumable))
            if ledger is None and self._lock is not None:
                self._lock.clear()
            yield ledger

    @contextlib.contextmanager
    def _hold(self) -> Iterator[Lock]:
        assert isinstance(self.store, DirectoryStore)
        with hold(self.store, self.names) as self._lock:
            try:
                yield self._lock
            finally:
                self._lock = None

    def _begin(self, identity: Identity, restart: bool, force: bool, resumable: bool) -> Ledger | None:
        store, names = self.store, self.names
        while True:
            self.settle()
            replaced = look_at_replaced(store, names, force)  # first, so that files written later are not replaced
            if self._find_finished(identity, force) is not None:
                return None
            if look_at_replaced(store, names, force) != replaced:  # a process was just completing its commit
                continue
            at_work = read_job(store, names)
            job = at_work.job
            if job and resumable and not restart and is_same_job(store, names, job, identity, replaced):
                ledger = self._take_up(at_work, job, replaced)
            else:
                ledger = self._start(at_work, identity, replaced, restart or force)
            if ledger is not None:
                return ledger

    def _take_up(self, at_work: AtWork, job: JobRecord, replaced: Replaced) -> Ledger | None:
        """Continue the current job; None if another job has replaced it meanwhile."""
        if self.names.whole or job.replaced == replaced:
            return Ledger(self.store, self.names, job, self._lock)
        renewed = dataclasses.replace(job, replaced=replaced)
        if self.store.swap(self.names.job, writing(record.dump(renewed)), renewed.mark, at_work.version):
            return Ledger(self.store, self.names, renewed, self._lock)
        return None

    def _start(self, at_work: AtWork, identity: Identity, replaced: Replaced, allowed: bool) -> Ledger | None:
        """Begin a job that replaces the current one; None if that one has changed or must be completed first."""
        store, names, lock, fate = self.store, self.names, self._lock, Fate.DEAD
        if at_work.version is not None:
            check_replaceable(store, names, at_work, identity, allowed)
            fate = abandon(store, names, at_work.job) if at_work.job and lock is None else fate
            manifest = read_manifest(store, names) if fate is Fate.COMMITTED else None
            if fate is Fate.COMMITTED and (names.whole or manifest is None or manifest.mark != at_work.mark):
                return None
        if lock is not None:
            if lock.older and not allowed:
                raise ChangedError(f"{store.root}{names.folder}: {OLDER}")
            lock.clear(but=[names.job])
        job = JobRecord(mark=draw_mark(), identity=identity, replaced=replaced)
        store.probe(names.probe(job.mark), job.mark)
        if store.swap(names.job, writing(record.dump(job)), job.mark, at_work.version) is None:
            remove_jobs(store, names, [job.mark])
            return None
        if at_work.mark is not None and fate is not Fate.DOOMED:
            remove_jobs(store, names, [at_work.mark], but=[names.verdict(at_work.mark)])
        return Ledger(store, names, job, lock, fresh=True)

    def _find_file(self) -> JobManifest | None:
        problem = explain_file(self.store, self.names)
        if problem:  # the manifest may be missing because a process is about to write it, or died before
            self.settle()
            problem = explain_file(self.store, self.names)
        if problem and self.locked and self._lock is None and self.store.stat(self.names.job) is not None:
            raise DestinationError(f"{self.name}: {AT_WORK}")
        if problem:
            raise DestinationError(f"{self.name}: {problem}; remove it, or choose another name")
        manifest = read_manifest(self.store, self.names)
        if self.store.stat(self.names.output) is None:
            refuse_beside(self.store, self.names, manifest)
            return None
        return manifest
