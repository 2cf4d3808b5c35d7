"""The current job of an output, and its verdict: committed once, or abandoned for good."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection

from pairlift import record
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.names import Names
from pairlift.outputs.records import JobManifest, JobRecord, Verdict
from pairlift.storage.store import Found, Store, Stored, Write

STARTED_OVER = "another process has started this job over; wait for it"
START_OVER = "start over with --restart"
OLDER = "was left unfinished by another version of pairlift; finish it with that version, or start over with --restart"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """The current job of an output, as `job.json` records it.

    Attributes:
        version: The version of `job.json`; None if it does not exist.
        job: The job; None if there is none, or if another version of pairlift wrote the file.
    """

    version: str | None = None
    job: JobRecord | None = None

    @property
    def mark(self) -> str | None:
        """The job's mark."""
        return self.job.mark if self.job else None


def read_job(store: Store, names: Names) -> AtWork:
    """Return the current job of an output."""
    found = store.look(names.job)
    data = store.read(names.job) if found else None
    if found is None or data is None:
        return AtWork()
    try:
        return AtWork(version=found.version, job=record.load(JobRecord, data, store.root + names.job))
    except RecordError:
        return AtWork(version=found.version)


def read_mark(store: Store, names: Names) -> str | None:
    """Return the mark of the current job; None if there is none."""
    data = store.read(names.job)
    try:
        return record.load(JobRecord, data, names.job).mark if data is not None else None
    except RecordError:
        return None


def read_manifest(store: Store, names: Names) -> JobManifest | None:
    """Return the manifest of an output, or None if there is none, or if this version of pairlift cannot read it."""
    data = store.read(names.manifest)
    try:
        return record.load(JobManifest, data, store.root + names.manifest) if data is not None else None
    except RecordError:
        return None


def read_verdict(store: Store, names: Names, mark: str) -> Verdict | None:
    """Return the verdict of a job, or None if it has none yet.

    Raises:
        ChangedError: The verdict cannot be read.
    """
    name = names.verdict(mark)
    data = store.read(name)
    try:
        return record.load(Verdict, data, store.root + name) if data is not None else None
    except RecordError as error:
        raise ChangedError(f"{error}; start over with --restart") from None


def decide(store: Store, names: Names, mark: str, verdict: Verdict) -> Verdict:
    """Record the verdict of a job, and return the valid one: that of the first process that recorded one."""
    while True:
        if store.create(names.verdict(mark), record.dump(verdict), mark):
            return verdict
        found = read_verdict(store, names, mark)
        if found is not None:
            return found


def prepare(store: Store, names: Names, job: JobRecord, manifest: JobManifest) -> JobManifest:
    """Record that a job of one file is about to commit, and return its manifest: this one, or that of another process.

    Raises:
        DestinationError: The job was abandoned.
    """
    verdict = Verdict(manifest=manifest, replaced=job.replaced)
    while True:
        found = decide(store, names, job.mark, verdict)
        if found.manifest is None:
            raise DestinationError(f"{store.root}{names.output}: {STARTED_OVER}")
        if (found.manifest.output_sha256, found.replaced) == (manifest.output_sha256, job.replaced):
            return found.manifest
        there = store.stat(names.verdict(job.mark))  # chunks were computed again, on another processor
        if there is not None:
            store.swap(names.verdict(job.mark), writing(record.dump(verdict)), job.mark, there.version)


def is_of(found: Found | None, manifest: JobManifest) -> bool:
    """Return whether a file is the output of a manifest: compare its mark, or its digest where files have no marks."""
    if found is None or found.size != manifest.output_size:
        return False
    return found.mark == manifest.mark if found.mark is not None else found.sha256 == manifest.output_sha256


def publish(store: Store, names: Names, job: JobRecord, manifest: JobManifest) -> bool:
    """Write the manifest of a job of parts that is to commit, and return whether the output is now this job's.

    It is not if another job has committed since this one began.
    """
    if store.swap(names.manifest, writing(record.dump(manifest)), job.mark, job.replaced.manifest):
        return True
    found = read_manifest(store, names)
    return found is not None and found.mark == job.mark


class Fate(enum.Enum):
    """The state of a job that another job is about to replace."""

    COMMITTED = "its output exists"
    DEAD = "it can never commit, and its files may be removed"
    DOOMED = (
        "one of its processes may still commit, and no other can do it: its files stay until another job has committed"
    )


def abandon(store: Store, names: Names, job: JobRecord) -> Fate:
    """Make sure that a job can never commit; if it is already about to, try to complete its commit."""
    verdict = decide(store, names, job.mark, Verdict(manifest=None))
    if verdict.manifest is None:
        return Fate.COMMITTED if is_published(store, names, job.mark) else Fate.DEAD
    if names.whole:
        return help_commit(store, names, job, verdict)
    return _look_at_file(store, names, job, verdict.manifest)


def is_published(store: Store, names: Names, mark: str) -> bool:
    """Return whether the current manifest is that of a job.

    Call this after a verdict was recorded. The verdict of a committed job is removed once its manifest exists, so a
    second verdict may have been recorded.
    """
    found = read_manifest(store, names)
    return found is not None and found.mark == mark


def _look_at_file(store: Store, names: Names, job: JobRecord, manifest: JobManifest) -> Fate:
    """Return the state of a job of one file that has recorded a verdict to commit."""
    found = store.look(names.output)
    if is_of(found, manifest):
        return Fate.COMMITTED
    return Fate.DOOMED if (found.version if found else None) == job.replaced.output else Fate.DEAD


def help_commit(store: Store, names: Names, job: JobRecord, verdict: Verdict) -> Fate:
    """Complete the commit of a job of parts that has a verdict to commit, and whose process may have died."""
    manifest = verdict.manifest
    assert manifest is not None
    there = read_manifest(store, names)
    if (there is None or there.mark != job.mark) and find_altered(store, manifest):
        return Fate.DOOMED
    if not publish(store, names, job, manifest):
        return Fate.DEAD
    clean_up(store, names, job.mark, verdict.dead)
    return Fate.COMMITTED


def find_altered(store: Store, manifest: JobManifest) -> list[str]:
    """Return the files of a manifest that are missing or have changed since they were written."""
    files = (*manifest.parts, *([manifest.rejects] if manifest.rejects else []))
    return store.find_altered({file.path: Stored(size=file.size, sha256=file.sha256) for file in files})


def find_marks(store: Store, names: Names) -> set[str]:
    """Return the marks of all jobs that have files in the store."""
    listed = store.names("" if names.whole else names.folder)
    return {mark for name in listed if (mark := names.find_mark(name))}


def clean_up(store: Store, names: Names, mark: str, dead: Collection[str]) -> None:
    """Remove the temporary files after a job has committed: those of dead jobs, then its own, the verdict last."""
    last = (names.verdict(mark), names.job)
    remove_jobs(store, names, set(dead) - {mark})
    inside = store.names(names.folder_of(mark))
    store.remove([name for name in inside if name not in last])
    if read_mark(store, names) == mark:
        store.remove([names.job])
    store.remove([name for name in inside if name == names.verdict(mark)])


def remove_jobs(store: Store, names: Names, marks: Collection[str], but: Collection[str] = ()) -> None:
    """Remove all files of jobs that can never commit."""
    if marks:
        listed = store.names("" if names.whole else names.folder)
        store.remove([name for name in listed if names.find_mark(name) in marks and name not in but])


def writing(data: bytes) -> Write:
    """Return a function that writes these bytes."""
    return lambda file: file.write(data)
