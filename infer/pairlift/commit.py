"""The commit: parts become the output, which takes its name last."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pairlift import record
from pairlift.errors import DestinationError, RecordError
from pairlift.journal import Entry, Identity, Journal
from pairlift.staging import sync_directory

BLOCK = 1 << 20  # bytes copied at a time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobManifest:
    """What OUTPUT.manifest.json says of a finished job.

    Attributes:
        job: The job's identity.
        rows: Records of the input.
        scored: Records of the output.
        rejected: Records of OUTPUT.rejects.jsonl, by reason.
        labels: Label names, in the order of the probabilities.
        output_size: Bytes.
        output_sha256: Of the output.
    """

    format: int = 1
    job: Identity
    rows: int
    scored: int
    rejected: Mapping[str, int]
    labels: tuple[str, ...]
    output_size: int
    output_sha256: str


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
    if not output.exists() and not output.is_symlink():
        return None
    path = manifest_path(output)
    try:
        manifest = record.load(JobManifest, path.read_bytes(), str(path))
    except (FileNotFoundError, RecordError):
        raise DestinationError(f"{output}: exists; remove it, or choose another name") from None
    changed = manifest.job.difference(identity)
    if changed:
        raise DestinationError(f"{output}: exists, made by another job: {changed}; remove it, or choose another name")
    if output.stat().st_size != manifest.output_size:
        raise DestinationError(
            f"{output}: exists, altered since it was made ({output.stat().st_size} bytes, expected {manifest.output_size}); "
            "remove it, or choose another name"
        )
    return manifest


def commit(journal: Journal, identity: Identity, output: Path, header: bytes, labels: tuple[str, ...]) -> JobManifest:
    """Join a job's parts and give the output its name; that is the last step, and the only one that counts.

    Raises:
        DestinationError: The output was made by another process meanwhile.
    """
    entries = journal.entries
    whole, refused, listed = journal.path / "output", journal.path / "rejects", journal.path / "manifest"
    digest = _join(whole, header, (journal.part(e.chunk) for e in entries if e.output_size))
    _join(refused, b"", (journal.rejects(e.chunk) for e in entries if e.rejects_size))
    manifest = JobManifest(
        job=identity,
        rows=sum(e.rows for e in entries),
        scored=sum(e.scored for e in entries),
        rejected=count_rejected(entries),
        labels=labels,
        output_size=whole.stat().st_size,
        output_sha256=digest,
    )
    assert manifest.rows == manifest.scored + sum(manifest.rejected.values())
    _write(listed, record.dump(manifest))
    if refused.stat().st_size:
        refused.replace(rejects_path(output))
    else:
        rejects_path(output).unlink(missing_ok=True)
    listed.replace(manifest_path(output))
    sync_directory(output.parent)
    _take_name(whole, output)
    sync_directory(output.parent)
    return manifest


def count_rejected(entries: Iterable[Entry]) -> dict[str, int]:
    """Return the rejected rows of chunks by reason."""
    found: Counter[str] = Counter()
    for entry in entries:
        found.update(entry.rejected)
    return dict(sorted(found.items()))


def _take_name(whole: Path, output: Path) -> None:
    try:
        os.link(whole, output)  # unlike a rename, never over a file that came meanwhile
    except FileExistsError:
        raise DestinationError(f"{output}: was made by another process meanwhile; choose another name") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise
        whole.replace(output)


def _join(path: Path, header: bytes, parts: Iterable[Path]) -> str:
    digest = hashlib.sha256(header)
    with path.open("wb") as file:
        file.write(header)
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(BLOCK):
                    digest.update(block)
                    file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
