"""The destination of a job: a file, an object, or a directory or prefix of parts; and where what is done is kept until then."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pairlift.chunk import Chunk
from pairlift.commit import JobManifest, LastRun, commit, manifest_path, read_finished, rejects_path
from pairlift.counts import Tally
from pairlift.errors import DestinationError, UsageError
from pairlift.formats import STREAM, Format
from pairlift.formats.row import Writer
from pairlift.identity import Identity
from pairlift.journal import Entry, journal_path, open_journal, remove_finished
from pairlift.storage import is_remote


class Keeper(Protocol):
    """Makes chunks durable; can be sent to another process."""

    def keep(self, chunk: Chunk, writer: Writer) -> Entry:
        """Make a chunk durable, and return what is to be said of it."""
        ...


class Work(Protocol):
    """What is done of a job.

    Attributes:
        entries: The chunks that are done, in order, without a gap.
        tally: What became of their rows.
        later: Chunks that are done, with others before them that are not, by their first row.
    """

    entries: list[Entry]
    tally: Tally
    later: dict[int, Entry]

    @property
    def keeper(self) -> Keeper:
        """What makes its chunks durable."""
        ...

    def note(self, entry: Entry) -> None:
        """Take note that a chunk is done."""
        ...

    def size(self) -> int:
        """Return how many bytes are to be put together."""
        ...

    def remove(self) -> None:
        """Remove what goes when the job is done."""
        ...

    def discard(self) -> None:
        """Remove all that has been kept, for the job cannot come to its end."""
        ...


class Destination(Protocol):
    """Where a job's output goes. Errors are `DestinationError`s where the name is taken, and `StorageError`s."""

    one_machine: bool

    def check(self, source: str) -> None:
        """Refuse a destination that cannot be one; a `UsageError`."""
        ...

    def find_finished(self, identity: Identity) -> JobManifest | None:
        """Return the manifest of an output that this very job has made, or None when there is no output."""
        ...

    def remove_finished(self, identity: Identity) -> None:
        """Remove what a death after the commit has left."""
        ...

    def open(self, identity: Identity, restart: bool, resumable: bool) -> contextlib.AbstractContextManager[Work]:
        """Hold what is done of a job; a `ChangedError` when it is another's, and it is not begun again."""
        ...

    def commit(
        self, work: Any, identity: Identity, writer: Writer, labels: tuple[str, ...], last_run: LastRun
    ) -> JobManifest:
        """Put the output together out of what `open` gave, and give it its name last.

        Raises:
            DestinationError: Another job has made it meanwhile.
        """
        ...


def open_destination(output: str, written: Format) -> Destination:
    """Return the destination of an output that is not a stream."""
    if output.endswith("/") or is_remote(output):
        from pairlift.store_destination import StoreDestination

        return StoreDestination(output, written)
    return FileDestination(Path(output))


class FileDestination:
    """A file; what is done is kept in `OUTPUT.job/`, which one process holds."""

    one_machine = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, source: str) -> None:
        """Refuse a folder that is not there, a name that is too long, and the input itself."""
        path = self._path
        if not path.parent.is_dir():
            raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
        beside = (path, manifest_path(path), rejects_path(path), journal_path(path))
        longest, most = max(len(os.fsencode(each.name)) for each in beside), os.pathconf(path.parent, "PC_NAME_MAX")
        if longest > most:
            raise UsageError(
                f"{path}: a name {longest - most} bytes too long for the files that go with it; choose a shorter one"
            )
        local = source != STREAM and not is_remote(source)
        if local and os.path.realpath(source) in map(os.path.realpath, beside):
            raise UsageError(
                f"{path}: {source} is the input, and would be written to; choose another name for the output"
            )

    def find_finished(self, identity: Identity) -> JobManifest | None:
        """Return the manifest of a finished output; as `Destination.find_finished`."""
        if identity.is_stream and os.path.lexists(self._path):
            raise DestinationError(f"{self._path}: exists; remove it, or choose another name")
        return read_finished(self._path, identity)

    def remove_finished(self, identity: Identity) -> None:
        """Remove what a death after the commit has left."""
        remove_finished(journal_path(self._path), identity)

    @contextlib.contextmanager
    def open(self, identity: Identity, restart: bool, resumable: bool) -> Iterator[Work]:
        """Hold the job's directory."""
        with open_journal(journal_path(self._path), identity, restart, resumable) as journal:
            yield journal

    def commit(
        self, work: Any, identity: Identity, writer: Writer, labels: tuple[str, ...], last_run: LastRun
    ) -> JobManifest:
        """Put the output together; as `Destination.commit`."""
        return commit(work, identity, self._path, writer, labels, last_run)
