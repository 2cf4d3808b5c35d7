"""The journal: a directory beside the output that holds the chunks that are done, so that a job can be killed anywhere.

`OUTPUT.job/` has `lock`, `journal.jsonl`, and for each chunk `000000000000.part` and, where rows were
rejected, `000000000000.rejects`, named by its first row. The journal's first line is the job's identity; each further line is written, and made durable, after the
part it speaks of. A last line that is cut off is a chunk that is not done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from pairlift.chunk import Chunk
from pairlift.counts import Tally
from pairlift.digest import sha256_bytes, sha256_file
from pairlift.errors import ChangedError, DestinationError, RecordError
from pairlift.formats.row import Writer
from pairlift.identity import Identity
from pairlift.lock import clear_directory, locked_directory, remove_directory
from pairlift.record import load
from pairlift.staging import sync_directory, write_durably

JOURNAL = "journal.jsonl"
OWN_NAMES = re.compile(r"journal\.jsonl|output|rejects|manifest|\d{12}\.(part|rejects)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A chunk that is done; fields as in `Chunk`, and its files by size in bytes and sha256."""

    format: int = 2
    first: int
    tally: Tally
    source: str
    output_size: int
    output_sha256: str
    rejects_size: int
    rejects_sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileKeeper:
    """Makes chunks durable in a job's directory, in any process that sees it."""

    path: Path

    def keep(self, chunk: Chunk, writer: Writer) -> Entry:
        """Make a chunk durable, and return what is to be said of it."""
        name = self.path / f"{chunk.first:012d}"
        write_durably(name.with_suffix(".part"), lambda file: file.write(chunk.output))
        if chunk.rejects:
            write_durably(name.with_suffix(".rejects"), lambda file: file.write(chunk.rejects))
        sync_directory(self.path)
        return Entry(
            first=chunk.first,
            tally=chunk.tally,
            source=chunk.source,
            output_size=len(chunk.output),
            output_sha256=sha256_bytes(chunk.output),
            rejects_size=len(chunk.rejects),
            rejects_sha256=sha256_bytes(chunk.rejects),
        )


class Journal:
    """The directory of a job, held by a lock.

    Attributes:
        path: The directory.
        entries: The chunks that are done, in order, without a gap.
        tally: What became of their rows.
        later: Chunks that are done, with others before them that are not, by their first row.
    """

    def __init__(self, path: Path, entries: list[Entry]) -> None:
        self.path = path
        self.entries = entries
        self.tally = sum((entry.tally for entry in entries), Tally())
        self.later: dict[int, Entry] = {}

    @property
    def keeper(self) -> FileKeeper:
        """What makes its chunks durable."""
        return FileKeeper(path=self.path.absolute())

    def note(self, entry: Entry) -> None:
        """Say of a chunk, which is durable, that it is done, when all before it are."""
        self.later[entry.first] = entry
        while self.tally.rows in self.later:
            following = self.later.pop(self.tally.rows)
            _append_durably(self.path / JOURNAL, following)
            self.entries.append(following)
            self.tally += following.tally

    def size(self) -> int:
        """Return how many bytes are to be put together."""
        return sum(entry.output_size + entry.rejects_size for entry in self.entries)

    def part(self, first: int) -> Path:
        """Return the file of a chunk's records."""
        return self.path / f"{first:012d}.part"

    def rejects(self, first: int) -> Path:
        """Return the file of a chunk's rejected rows."""
        return self.path / f"{first:012d}.rejects"

    def remove(self) -> None:
        """Remove the directory."""
        remove_journal(self.path)

    discard = remove


def journal_path(output: Path) -> Path:
    """Return the directory of the job that makes an output."""
    return output.with_name(f"{output.name}.job")


def remove_journal(path: Path) -> None:
    """Remove a job's directory, if it is there and is one.

    The journal goes first, so that what is left of a removal is not taken for a job, and the lock last, so that it is known
    for what it was.
    """
    remove_directory(path, OWN_NAMES, JOURNAL)


def remove_finished(path: Path, identity: Identity) -> None:
    """Remove what a death after the commit has left, if it is this job's and nobody is at work in it."""
    if not path.exists():
        return
    with contextlib.suppress(DestinationError), locked_directory(path, OWN_NAMES, "output"):
        if not (path / JOURNAL).exists() or _read_identity(path) == identity:
            remove_journal(path)


@contextlib.contextmanager
def open_journal(path: Path, identity: Identity, restart: bool, resumable: bool = True) -> Iterator[Journal]:
    """Hold a job's directory: a new one, or one that a job of the same identity left.

    Args:
        path: The directory.
        identity: The job.
        restart: Forget what is there, whatever job it is of.
        resumable: Whether what an earlier run has done is of use; if not, a job of standard input is forgotten.

    Raises:
        DestinationError: Another process holds it, or the name is taken by something else.
        ChangedError: It is another job's.
    """
    with locked_directory(path, OWN_NAMES, "output"):
        if restart:
            clear_directory(path, JOURNAL)
        before = None if resumable else _read_identity(path)
        if before is not None and before.is_stream:
            clear_directory(path, JOURNAL)
        yield Journal(path, _read_entries(path, identity))


def _read_identity(path: Path) -> Identity | None:
    try:
        return load(Identity, (path / JOURNAL).read_bytes().split(b"\n")[0], str(path / JOURNAL))
    except (FileNotFoundError, RecordError):
        return None


def _read_entries(path: Path, identity: Identity) -> list[Entry]:
    lines = (path / JOURNAL).read_bytes().split(b"\n") if (path / JOURNAL).exists() else [b""]
    whole, torn = lines[:-1], lines[-1]
    if not whole:
        clear_directory(path, JOURNAL)
        _append_durably(path / JOURNAL, identity)
        sync_directory(path)
        return []
    where = str(path / JOURNAL)
    try:
        began = load(Identity, whole[0], where)
        entries = [load(Entry, line, where) for line in whole[1:]]
    except RecordError as error:
        raise ChangedError(f"{error}; --restart begins the job again") from None
    changed = began.difference(identity)
    if changed:
        raise ChangedError(f"{path}: the job began otherwise: {changed}; undo that, or --restart to begin again")
    if torn:
        os.truncate(path / JOURNAL, sum(len(line) + 1 for line in whole))
    rows = 0
    for entry in entries:
        if entry.first != rows or not _is_whole(path, entry):
            raise ChangedError(f"{path}: the chunk of row {rows} is not as it was written; --restart to begin again")
        rows += entry.tally.rows
    return entries


def _is_whole(path: Path, entry: Entry) -> bool:
    files = (("part", entry.output_size, entry.output_sha256), ("rejects", entry.rejects_size, entry.rejects_sha256))
    for kind, size, digest in files:
        file = path / f"{entry.first:012d}.{kind}"
        if size and not (file.is_file() and file.stat().st_size == size and sha256_file(file) == digest):
            return False
    return True


def _append_durably(path: Path, record: object) -> None:
    with path.open("ab") as file:
        file.write(orjson.dumps(record, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
        file.flush()
        os.fsync(file.fileno())
