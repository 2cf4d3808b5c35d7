"""Inspect what already exists where an output is to be made."""

from __future__ import annotations

from pairlift.errors import ChangedError, DestinationError
from pairlift.names import Names
from pairlift.outputs.identity import Identity
from pairlift.outputs.jobs import OLDER, AtWork, is_of, read_manifest, read_verdict
from pairlift.outputs.records import JobManifest, JobRecord, Replaced
from pairlift.outputs.strangers import refuse_strangers
from pairlift.storage.store import Store


def version_of(store: Store, name: str) -> str | None:
    """Return the version of a file, or None if it does not exist."""
    found = store.stat(name)
    return found.version if found else None


def look_at_replaced(store: Store, names: Names, force: bool) -> Replaced:
    """Return the versions of the files that a job may replace if it begins now.

    Args:
        store, names: The store of the output and the names in it.
        force: Whether an output of another job may be replaced. The manifest and the rejects of one file may always be
            replaced.
    """
    if names.whole:
        return Replaced(manifest=version_of(store, names.manifest) if force else None)
    return Replaced(
        output=version_of(store, names.output) if force else None,
        manifest=version_of(store, names.manifest),
        rejects=version_of(store, names.rejects("")),
    )


def find_parts(store: Store, names: Names, name: str) -> JobManifest | None:
    """Return the manifest of a directory or prefix of parts, or None if there is none.

    Args:
        store, names: The store of the output and the names in it.
        name: The name of the output as the user gave it, for messages.

    Raises:
        DestinationError: It holds other files, or a part is missing or has another size.
    """
    refuse_strangers(store, names, name)
    if store.read(names.manifest) is None:
        return None
    manifest = read_manifest(store, names)
    if manifest is None:
        raise DestinationError(
            f"{store.root}{names.manifest}: was not written by this version of pairlift; move the directory, or choose another output"
        )
    there = store.find("part-")
    lost = next((p for p in manifest.parts if p.path not in there or there[p.path].size != p.size), None)
    if lost is not None:
        size = f"{there[lost.path].size} bytes, expected {lost.size}" if lost.path in there else "missing"
        raise DestinationError(
            f"{name}: exists, altered since it was made ({lost.path}: {size}); remove it, or choose another name"
        )
    return manifest


def explain_file(store: Store, names: Names) -> str:
    """Return what is wrong with an existing file or object; an empty string if nothing is, or if it does not exist."""
    found, manifest = store.stat(names.output), read_manifest(store, names)
    if found is None:
        return ""
    if manifest is None:
        return "exists and was not made by pairlift"
    if found.size != manifest.output_size:
        return f"exists, altered since it was made ({found.size} bytes, expected {manifest.output_size})"
    looked = store.look(names.output)
    what = "other bytes" if looked is None or looked.mark is None else "another object"
    return "" if is_of(looked, manifest) else f"exists, altered since it was made ({what})"


def is_same_job(store: Store, names: Names, job: JobRecord, identity: Identity, replaced: Replaced) -> bool:
    """Return whether the current job has the same identity as a new one, and can still commit.

    Args:
        store, names: The store of the output and the names in it.
        job: The current job.
        identity: The identity of the new job.
        replaced: The versions that a job may replace if it begins now.
    """
    if job.identity.is_stream or job.identity.difference(identity):
        return False
    verdict = read_verdict(store, names, job.mark)
    if verdict is not None and verdict.manifest is None:
        return False
    # If a job of parts has a verdict to commit, but `settle` did not commit it, some of its chunks are damaged. They
    # are computed again.
    return not names.whole or job.replaced.manifest == replaced.manifest


def check_replaceable(store: Store, names: Names, at_work: AtWork, identity: Identity, allowed: bool) -> None:
    """Raise a `ChangedError` if the current job is unfinished and has another identity, so it may not be replaced."""
    if allowed:
        return
    where = store.root + names.job
    if at_work.job is None:
        raise ChangedError(f"{where}: {OLDER}")
    if at_work.job.identity.is_stream and identity.is_stream:
        return
    changed = at_work.job.identity.difference(identity)
    verdict = read_verdict(store, names, at_work.job.mark)
    if changed and (verdict is None or verdict.manifest is not None):
        raise ChangedError(
            f"{where}: the unfinished job differs from this one: {changed}; undo the change, or start over with --restart"
        )
