"""What a job writes down about itself: who it is, which chunks are done, how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.digest import FileDigest
from pairlift.encoding.counts import Tally
from pairlift.names import Key
from pairlift.outputs.identity import Identity
from pairlift.storage.store import Stored


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What became of a chunk.

    Attributes:
        key: Its name.
        tally: What became of its rows.
        source: Sha256 of the rows as they were read.
        output: The part of the output that holds the scored rows.
        rejects: JSON lines of the rejected rows.
    """

    key: Key
    tally: Tally
    source: str
    output: bytes
    rejects: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A chunk that is done, and where its bytes are.

    Attributes:
        mark: Of the job that did it.
        lot, row: The chunk's name.
        tally, source: As in `Chunk`.
        part: The file of its records, or None if none were scored.
        rejects: The file of its rejected rows, or None if there are none.
    """

    format: int = 3
    mark: str
    lot: int
    row: int
    tally: Tally
    source: str
    part: Stored | None
    rejects: Stored | None

    @property
    def key(self) -> Key:
        """The chunk's name."""
        return Key(self.lot, self.row)

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return sum(file.size for file in (self.part, self.rejects) if file)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The versions of the files that a job may replace, as they were when it began; None where there was no file."""

    output: str | None = None
    manifest: str | None = None
    rejects: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The job that is at work on an output.

    Attributes:
        mark: What its files are known by.
        identity: What decides the bytes of its output.
        replaced: What its commit may replace. So a job that began before another one committed cannot commit any more.
    """

    format: int = 3
    mark: str
    identity: Identity
    replaced: Replaced = dataclasses.field(default_factory=Replaced)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The process that finished a job; another one has other figures, and the same output.

    Attributes:
        resumed: Rows that an earlier run had done.
        seconds: From the first row that it scored to the last; the commit is not among them.
        rows_per_second: Rows that it did, by these seconds.
        peak_memory: Bytes, resident, up to the commit.
        threads: Batches computed at once.
    """

    resumed: int
    seconds: float
    rows_per_second: float
    peak_memory: int
    threads: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobManifest:
    """What the manifest says of a finished job.

    Attributes:
        mark: The job's mark; empty in outputs of formats 1 and 2.
        job: The job's identity: input, bundle, options, versions.
        totals: What became of the rows.
        rates: `unknown_tokens`, the share of the texts' tokens; `padding`, the share of what was computed.
        labels: Label names, in the order of the probabilities.
        output_size: Bytes, of all parts together.
        output_sha256: Of the output; where there are parts, of their digests: each as 64 hexadecimal digits and a line end, in the
            order of the list.
        last_run: The process that finished it.
        parts: The files of an output that is a directory or a prefix, in the order of their rows.
        rejects: The file of the rejected rows, or None if there are none.
    """

    format: int = 3
    mark: str = ""
    job: Identity
    totals: Tally
    rates: Mapping[str, float]
    labels: tuple[str, ...]
    output_size: int
    output_sha256: str
    last_run: LastRun
    parts: tuple[FileDigest, ...] = ()
    rejects: FileDigest | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a job ends; it is given once.

    Attributes:
        manifest: The manifest with which it is committed; None if it was abandoned, and can never commit.
        dead: The marks of the jobs that can no longer commit once this one has, in an output of parts.
        replaced: As in the job's record.
    """

    format: int = 3
    manifest: JobManifest | None
    dead: tuple[str, ...] = ()
    replaced: Replaced = dataclasses.field(default_factory=Replaced)
