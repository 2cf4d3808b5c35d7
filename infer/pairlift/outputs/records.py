"""The records that a job writes about itself: its identity, its finished chunks, and its verdict."""

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
    """The result of a chunk.

    Attributes:
        key: The chunk's name.
        tally: The counts of its rows, tokens and labels.
        source: SHA-256 of the rows as they were read.
        output: The part of the output that holds the scored rows.
        rejects: The rejected rows as JSON lines.
    """

    key: Key
    tally: Tally
    source: str
    output: bytes
    rejects: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The record of a finished chunk and its files.

    Attributes:
        mark: The mark of the job that computed it.
        lot, row: The chunk's name.
        tally, source: See `Chunk`.
        part: The file of its records, or None if no row was scored.
        rejects: The file of its rejected rows, or None if no row was rejected.
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
        """The size of both files in bytes."""
        return sum(file.size for file in (self.part, self.rejects) if file)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The versions that the files which a job may replace had when it began; None if there was no file."""

    output: str | None = None
    manifest: str | None = None
    rejects: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The current job of an output.

    Attributes:
        mark: The mark in the names or metadata of its files.
        identity: Everything that determines the bytes of its output.
        replaced: The versions that its commit may replace. So a job that began before another one committed can no
            longer commit.
    """

    format: int = 3
    mark: str
    identity: Identity
    replaced: Replaced = dataclasses.field(default_factory=Replaced)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """Statistics of the process that finished a job. They vary between runs; the output does not.

    Attributes:
        resumed: The number of rows that earlier runs had done.
        seconds: The time from the first row that this process scored to the last, without the commit.
        rows_per_second: The rows that this process scored, divided by `seconds`.
        peak_memory: Peak resident memory in bytes, up to the commit.
        threads: The number of batches computed at once.
    """

    resumed: int
    seconds: float
    rows_per_second: float
    peak_memory: int
    threads: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobManifest:
    """The manifest of a finished job.

    Attributes:
        mark: The job's mark; empty in outputs of formats 1 and 2.
        job: The job's identity: input, bundle, options, versions.
        totals: The counts of rows, tokens and labels.
        rates: `unknown_tokens` is the share of unknown tokens among the texts' tokens. `padding` is the share of
            padding among the computed token positions.
        labels: Label names, in the order of the probabilities.
        output_size: Size of the output in bytes, all parts together.
        output_sha256: SHA-256 of the output. If the output has parts, SHA-256 of their digests, each as 64 hexadecimal
            digits and a line end, in the order of `parts`.
        last_run: Statistics of the process that finished the job.
        parts: The files of a directory or prefix, in the order of their rows.
        rejects: The file of the rejected rows, or None if no row was rejected.
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
    """How a job ends; written once.

    Attributes:
        manifest: The manifest with which the job is committed; None if it was abandoned, and can never commit.
        dead: In an output of parts, the marks of the jobs that can no longer commit once this one has.
        replaced: See `JobRecord`.
    """

    format: int = 3
    manifest: JobManifest | None
    dead: tuple[str, ...] = ()
    replaced: Replaced = dataclasses.field(default_factory=Replaced)
