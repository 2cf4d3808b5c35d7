"""An output in a store: an object put together out of its parts, or parts under a directory or prefix with `manifest.json`.

Several processes may make one output: each takes over what the others have done, the first to come to the end gives the output
its name, and the others find it finished.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pairlift import record
from pairlift.commit import JobManifest, LastRun, make_manifest
from pairlift.digest import FileDigest
from pairlift.errors import ChangedError, DestinationError, PairliftError, RecordError, StorageError, UsageError
from pairlift.formats import STREAM, Format
from pairlift.formats.row import Writer
from pairlift.formats.text import join_files
from pairlift.identity import Identity
from pairlift.keeper import Layout, PartsKeeper
from pairlift.parts import PartsJournal, is_part, join_parts, mark_of, open_parts, remove_parts
from pairlift.staging import storage_errors
from pairlift.storage import is_remote
from pairlift.storage.store import BucketStore, DirectoryStore, Found, Store
from pairlift.storage.url import S3Url, parse_url

LONGEST_KEY = 1024  # bytes, on S3
BESIDE = 40  # bytes that the names of a job's files are longer than the output's


class StoreDestination:
    """An output in a bucket, or a directory of parts."""

    one_machine = False

    def __init__(self, output: str, written: Format) -> None:
        """Find the store.

        Args:
            output: `s3://bucket/key`, or a directory or prefix that ends in `/`.
            written: The format of the output.

        Raises:
            UsageError: The name is no object's, or the extra that S3 takes is not installed.
        """
        self._output = output
        self._whole = output.endswith("/")
        url = parse_url(output) if is_remote(output) else None
        if self._whole:
            self._store: Store = BucketStore(url) if url else DirectoryStore(output)
            suffix = written.kind + written.compression
            self._layout = Layout(folder="_job/", parts="part-", suffix=suffix, whole=True)
            self._last, self._manifest, self._rejects = "manifest.json", "manifest.json", "rejects.jsonl"
        else:
            assert url is not None
            folder, _, name = url.key.rpartition("/")
            self._store = BucketStore(S3Url(bucket=url.bucket, key=f"{folder}/" if folder else ""))
            self._layout = Layout(folder=f"{name}.job/", parts=f"{name}.job/", suffix=".part", whole=False)
            self._last, self._manifest, self._rejects = name, f"{name}.manifest.json", f"{name}.rejects.jsonl"
        parts = {self._layout.parts} if self._whole and not url else set[str]()
        self._unfinished = {self._last, self._manifest, self._rejects} | parts

    def check(self, source: str) -> None:
        """Refuse a folder that is not there, a key that is too long, and the input itself."""
        if is_remote(self._output):
            size = len(parse_url(self._output).key.encode()) + BESIDE
            if size > LONGEST_KEY:
                raise UsageError(
                    f"{self._output}: a key {size - LONGEST_KEY} bytes too long for the objects that go with it; choose a shorter one"
                )
        else:
            path = Path(self._output)
            if source == STREAM:
                raise UsageError(f"{self._output}: standard input cannot go to a directory; name a file")
            if not path.parent.is_dir():
                raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
            if path.exists() and not path.is_dir():
                raise DestinationError(f"{path}: exists and is no directory; choose another name")
        ours = (self._last, self._manifest, self._rejects)
        if source in [self._store.root + name for name in ours]:
            raise UsageError(f"{self._output}: {source} is the input; choose another name for the output")
        if self._whole and self._is_below(source):
            raise UsageError(f"{self._output}: {source} is in it; choose another place for the output")

    def find_finished(self, identity: Identity) -> JobManifest | None:
        """Return the manifest of a finished output; as `Destination.find_finished`."""
        if self._whole:
            self._refuse_strangers()
        data = self._store.read(self._manifest)
        found = self._store.look(self._last) if not self._whole else None
        there = data is not None if self._whole else found is not None
        if not there:
            self._check_beside(data)
            return None
        if identity.is_stream:
            raise DestinationError(f"{self._output}: exists; remove it, or choose another name")
        try:
            manifest = record.load(JobManifest, data or b"", self._store.root + self._manifest)
        except RecordError:
            raise DestinationError(f"{self._output}: exists; remove it, or choose another name") from None
        changed = manifest.job.difference(identity)
        if changed:
            raise DestinationError(
                f"{self._output}: exists, made by another job: {changed}; remove it, or choose another name"
            )
        self._check_unaltered(manifest, found, mark_of(identity))
        return manifest

    def remove_finished(self, identity: Identity) -> None:
        """Remove what a death after the commit, or one who came second, has left."""
        remove_parts(self._store, self._layout)
        self._store.tidy(self._unfinished)

    @contextlib.contextmanager
    def open(self, identity: Identity, restart: bool, resumable: bool) -> Iterator[PartsJournal]:
        """Open what is done of a job."""
        yield open_parts(self._store, self._layout, identity, restart, resumable)

    def join(self, identity: Identity) -> PartsKeeper:
        """Return what makes chunks of a job durable, beside whoever else is at work on it."""
        return join_parts(self._store, self._layout, identity)

    def commit(
        self, work: Any, identity: Identity, writer: Writer, labels: tuple[str, ...], last_run: LastRun
    ) -> JobManifest:
        """Put the output together; as `Destination.commit`."""
        journal: PartsJournal = work
        try:
            with storage_errors(self._output):
                made = self._make(journal, identity, writer, labels, last_run)
        except (StorageError, ChangedError, DestinationError) as error:
            made = self._find_twin(identity, error)
        self._store.tidy(self._unfinished)
        return made

    def _make(
        self, journal: PartsJournal, identity: Identity, writer: Writer, labels: tuple[str, ...], last_run: LastRun
    ) -> JobManifest:
        twin = None if identity.is_stream else self.find_finished(identity)
        if twin is not None:
            return twin

        def describe(found: Found, parts: tuple[FileDigest, ...] = ()) -> JobManifest:
            return make_manifest(identity, journal.tally, labels, last_run, found.size, found.sha256, parts)

        if self._whole:
            manifest = describe(*self._add_up(journal))
            self._write_rejects(journal)
            done = self._store.create(self._manifest, record.dump(manifest), journal.mark)
        else:
            told: list[JobManifest] = []

            def ready(found: Found) -> None:
                told[:] = [describe(found)]
                self._store.replace(self._manifest, lambda file: file.write(record.dump(told[0])), journal.mark)
                self._write_rejects(journal)

            def write(file: BinaryIO) -> None:
                writer.join(journal.open_parts(), file)

            done = self._store.write(self._last, write, journal.mark, ready)
            manifest = told[0]
        if not done:
            raise DestinationError(
                f"{self._output}: was made by another process meanwhile; remove it and run the same command again: what is "
                "done is kept"
            )
        return manifest

    def _find_twin(self, identity: Identity, error: PairliftError) -> JobManifest:
        """Return the manifest of the same job, made meanwhile by another process that has taken the parts away; or raise."""
        try:
            twin = None if identity.is_stream else self.find_finished(identity)
        except PairliftError:
            twin = None
        if twin is None:
            raise error
        return twin

    def _add_up(self, journal: PartsJournal) -> tuple[Found, tuple[FileDigest, ...]]:
        """Return what all parts come to, each held to what it was when it was written."""
        digest, parts = hashlib.sha256(), []
        for entry, part in zip((e for e in journal.entries if e.output_size), journal.open_parts(), strict=True):
            digest.update(part.read())
            name = self._layout.part(entry.first)
            parts.append(FileDigest(path=name, size=entry.output_size, sha256=entry.output_sha256))
        size = sum(part.size for part in parts)
        return Found(job=journal.mark, size=size, sha256=digest.hexdigest()), tuple(parts)

    def _write_rejects(self, journal: PartsJournal) -> None:
        """Write the rejected rows, over what a run that did not come to its end has left of that name."""
        if journal.tally.rejected:
            self._store.replace(self._rejects, lambda file: join_files(journal.open_rejects(), file), journal.mark)
        else:
            self._store.remove([self._rejects])

    def _check_unaltered(self, manifest: JobManifest, found: Found | None, mark: str) -> None:
        what = ""
        if found is not None:
            if found.size != manifest.output_size:
                what = f"{found.size} bytes, expected {manifest.output_size}"
            elif found.job != mark:
                what = "another object"
        else:
            sizes = self._store.sizes(self._layout.parts)
            lost = next((part.path for part in manifest.parts if sizes.get(part.path) != part.size), None)
            what = f"{lost}: {sizes.get(lost, 'no')} bytes" if lost else ""
        if what:
            raise DestinationError(
                f"{self._output}: exists, altered since it was made ({what}); remove it, or choose another name"
            )

    def _check_beside(self, manifest: bytes | None) -> None:
        """Refuse a manifest or rejects that are not a job's, where ours will stand."""
        where = self._store.root + self._manifest
        if manifest is not None:
            try:
                record.load(JobManifest, manifest, where)
            except RecordError:
                raise DestinationError(
                    f"{where}: exists and is no job's manifest, which will stand there; move it, or choose another name"
                ) from None
        elif not self._whole and self._store.look(self._rejects) is not None:
            raise DestinationError(
                f"{self._store.root}{self._rejects}: exists, and rejected rows will stand there; move it, or choose another name"
            )

    def _refuse_strangers(self) -> None:
        """Refuse a directory or prefix that holds anything but a job's files, or parts of no job."""
        names = self._store.sizes()
        no_job = self._manifest not in names and self._layout.job not in names
        # A job's identity goes after its manifest has come: one that is just being finished has that one at the second look.
        if no_job and any(is_part(self._layout, name) for name in names) and self._store.read(self._manifest) is None:
            raise DestinationError(f"{self._output}: holds parts of no job; remove them, or choose another name")
        for name in names:
            ours = name in ("", self._manifest, self._rejects) or name.startswith(self._layout.folder)
            if not ours and not is_part(self._layout, name) and not name.endswith(".partial"):
                raise DestinationError(
                    f"{self._output}: holds {name}, which is no job's; choose a directory or prefix that is empty"
                )

    def _is_below(self, source: str) -> bool:
        if is_remote(source) or is_remote(self._output):
            return source.startswith(self._output)
        return source != STREAM and Path(source).resolve().is_relative_to(Path(self._output).resolve())
