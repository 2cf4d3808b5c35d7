"""Which job is at work on an output, and how it ends: committed once, or abandoned for good."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from pairlift import record
from pairlift.errors import ChangedError, RecordError
from pairlift.names import Names
from pairlift.outputs.records import JobManifest, JobRecord, Verdict
from pairlift.storage.store import Store, Write

OLDER = "was left unfinished by another version of pairlift; finish it with that version, or start over with --restart"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """What says which job is at work.

    Attributes:
        version: Of that file; None if there is none.
        job: The job; None if there is none, or if the file is of another version of pairlift.
    """

    version: str | None = None
    job: JobRecord | None = None

    @property
    def mark(self) -> str | None:
        """The job's mark."""
        return self.job.mark if self.job else None


def read_job(store: Store, names: Names) -> AtWork:
    """Return which job is at work on an output."""
    found = store.look(names.job)
    data = store.read(names.job) if found else None
    if found is None or data is None:
        return AtWork()
    try:
        return AtWork(version=found.version, job=record.load(JobRecord, data, store.root + names.job))
    except RecordError:
        return AtWork(version=found.version)


def read_manifest(store: Store, names: Names) -> JobManifest | None:
    """Return the manifest of an output, or None if there is none, or it is not one of ours."""
    data = store.read(names.manifest)
    try:
        return record.load(JobManifest, data, store.root + names.manifest) if data is not None else None
    except RecordError:
        return None


def read_verdict(store: Store, names: Names, mark: str) -> Verdict | None:
    """Return how a job of parts ended, or None if it has not.

    Raises:
        ChangedError: It cannot be read.
    """
    name = names.verdict(mark)
    data = store.read(name)
    try:
        return record.load(Verdict, data, store.root + name) if data is not None else None
    except RecordError as error:
        raise ChangedError(f"{error}; start over with --restart") from None


def decide(store: Store, names: Names, mark: str, verdict: Verdict) -> Verdict:
    """Say how a job of parts ended, and return the verdict that holds: that of the first process that gave one."""
    while True:
        if store.create(names.verdict(mark), record.dump(verdict), mark):
            return verdict
        found = read_verdict(store, names, mark)
        if found is not None:
            return found


def publish(store: Store, names: Names, job: JobRecord, manifest: JobManifest) -> bool:
    """Give a committed job of parts its manifest, and return whether the output is this job's.

    It is not if another job has committed since this one began.
    """
    if store.swap(names.manifest, writing(record.dump(manifest)), job.mark, job.replaced.manifest):
        return True
    found = read_manifest(store, names)
    return found is not None and found.mark == job.mark


def abandon(store: Store, names: Names, job: JobRecord) -> bool:
    """Make sure that a job can never commit, so that its files may be removed; False if it has committed.

    A job that is about to commit is helped to do so. One file or object is joined out of the parts before it gets its name,
    so there the parts of any job may be removed.
    """
    if not names.whole:
        return True
    verdict = decide(store, names, job.mark, Verdict(manifest=None))
    if verdict.manifest is not None:
        if publish(store, names, job, verdict.manifest):
            clean_up(store, names, job.mark, verdict.dead)
            return False
        return True
    found = read_manifest(store, names)
    return found is None or found.mark != job.mark


def find_marks(store: Store, names: Names) -> set[str]:
    """Return the marks of all jobs that have files here."""
    listed = store.find("" if names.whole else names.folder)
    return {mark for name in listed if (mark := names.find_mark(name))}


def clean_up(store: Store, names: Names, mark: str, dead: Collection[str]) -> None:
    """Remove what is not needed any more once a job has committed: the files of dead jobs, then its own, the verdict last."""
    last = (names.verdict(mark), names.job)
    remove_jobs(store, names, set(dead) - {mark})
    inside = store.find(names.folder_of(mark))
    store.remove([name for name in inside if name not in last])
    if read_job(store, names).mark == mark:
        store.remove([names.job])
    store.remove([name for name in inside if name == names.verdict(mark)])


def remove_jobs(store: Store, names: Names, marks: Collection[str], but: Collection[str] = ()) -> None:
    """Remove all files of jobs that can never commit."""
    if marks:
        listed = store.find("" if names.whole else names.folder)
        store.remove([name for name in listed if names.find_mark(name) in marks and name not in but])


def writing(data: bytes) -> Write:
    """Return what writes bytes."""
    return lambda file: file.write(data)
