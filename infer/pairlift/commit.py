"""The commit: parts become the output, which takes its name last."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pairlift import record
from pairlift.counts import Tally
from pairlift.digest import FileDigest, sha256_file
from pairlift.errors import DestinationError, RecordError
from pairlift.formats.row import Writer
from pairlift.formats.text import join_files
from pairlift.identity import Identity
from pairlift.journal import Journal
from pairlift.staging import sync_directory, write_durably


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
    """What OUTPUT.manifest.json says of a finished job.

    Attributes:
        job: The job's identity: input, bundle, options, versions.
        totals: What became of the rows.
        rates: `unknown_tokens`, the share of the texts' tokens; `padding`, the share of what was computed.
        labels: Label names, in the order of the probabilities.
        output_size: Bytes, of all parts together.
        output_sha256: Of the output; of all parts, one after the other as they are listed, where there are parts.
        last_run: The process that finished it.
        parts: The files of an output that is a directory or a prefix, in the order of their rows.
    """

    format: int = 2
    job: Identity
    totals: Tally
    rates: Mapping[str, float]
    labels: tuple[str, ...]
    output_size: int
    output_sha256: str
    last_run: LastRun
    parts: tuple[FileDigest, ...] = ()


def rejects_path(output: str | Path) -> Path:
    """Return where the rejected rows of an output go."""
    return Path(f"{output}.rejects.jsonl")


def manifest_path(output: str | Path) -> Path:
    """Return where the manifest of an output goes."""
    return Path(f"{output}.manifest.json")


def read_finished(output: Path, identity: Identity) -> JobManifest | None:
    """Return the manifest of an output that this very job made, or None when there is no output.

    Raises:
        DestinationError: There is one that another job made, or that has been altered.
    """
    path = manifest_path(output)
    if not os.path.lexists(output):
        if os.path.lexists(path):
            _check_ours(path)
        elif os.path.lexists(rejects_path(output)):
            raise DestinationError(
                f"{rejects_path(output)}: exists, and rejected rows will stand there; move it, or choose another name"
            )
        return None
    try:
        manifest = record.load(JobManifest, path.read_bytes(), str(path))
    except (OSError, RecordError):
        raise DestinationError(f"{output}: exists; remove it, or choose another name") from None
    changed = manifest.job.difference(identity)
    if changed:
        raise DestinationError(f"{output}: exists, made by another job: {changed}; remove it, or choose another name")
    size = output.stat().st_size if output.is_file() else -1
    if size != manifest.output_size or sha256_file(output) != manifest.output_sha256:
        what = f"{size} bytes, expected {manifest.output_size}" if size != manifest.output_size else "other bytes"
        raise DestinationError(
            f"{output}: exists, altered since it was made ({what}); remove it, or choose another name"
        )
    return manifest


def _check_ours(path: Path) -> None:
    try:
        record.load(JobManifest, path.read_bytes(), str(path))
    except (OSError, RecordError):
        raise DestinationError(
            f"{path}: exists and is no job's manifest, which will stand there; move it, or choose another name"
        ) from None


def make_manifest(
    identity: Identity,
    totals: Tally,
    labels: tuple[str, ...],
    last_run: LastRun,
    size: int,
    sha256: str,
    parts: tuple[FileDigest, ...] = (),
) -> JobManifest:
    """Return what is said of a job whose output is put together, each of whose rows was scored or rejected."""
    assert totals.rows == totals.scored + sum(totals.rejected.values())
    return JobManifest(
        job=identity,
        totals=totals,
        rates={"unknown_tokens": totals.texts.unknown_rate, "padding": totals.texts.padding_rate},
        labels=labels,
        output_size=size,
        output_sha256=sha256,
        last_run=last_run,
        parts=parts,
    )


def commit(
    journal: Journal, identity: Identity, output: Path, writer: Writer, labels: tuple[str, ...], last_run: LastRun
) -> JobManifest:
    """Join a job's parts and give the output its name; that is the last step, and the only one that counts.

    Raises:
        DestinationError: The output was made by another process meanwhile.
    """
    entries, totals = journal.entries, journal.tally
    whole, refused, listed = journal.path / "output", journal.path / "rejects", journal.path / "manifest"
    whole.unlink(missing_ok=True)  # after a death it may be the output itself, under its other name
    parts = [journal.part(e.first) for e in entries if e.output_size]
    write_durably(whole, lambda file: writer.join(_open_each(parts), file))
    rejects = [journal.rejects(e.first) for e in entries if e.rejects_size]
    write_durably(refused, lambda file: join_files(_open_each(rejects), file))
    manifest = make_manifest(identity, totals, labels, last_run, whole.stat().st_size, sha256_file(whole))
    write_durably(listed, lambda file: file.write(record.dump(manifest)))
    if os.path.lexists(output):
        raise _made_meanwhile(output)
    listed.replace(manifest_path(output))  # before the rejects, which without it would be a stranger's
    if refused.stat().st_size:
        refused.replace(rejects_path(output))
    else:
        rejects_path(output).unlink(missing_ok=True)
    sync_directory(output.parent)
    _take_name(whole, output)
    sync_directory(output.parent)
    return manifest


def _open_each(paths: Iterable[Path]) -> Iterator[BinaryIO]:
    for path in paths:
        with path.open("rb") as file:
            yield file


def _made_meanwhile(output: Path) -> DestinationError:
    return DestinationError(
        f"{output}: was made by another process meanwhile; remove it and run the same command again: what is done is kept"
    )


def _take_name(whole: Path, output: Path) -> None:
    try:
        os.link(whole, output)  # unlike a rename, never over a file that came meanwhile
    except FileExistsError:
        raise _made_meanwhile(output) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(output):
            raise _made_meanwhile(output) from None
        whole.replace(output)
