"""Refuse a job if its place holds files that do not belong to pairlift. The files are not touched."""

from __future__ import annotations

from pairlift.errors import DestinationError
from pairlift.names import OLD_MANIFEST, OLD_PART, OLD_REJECTS, Names
from pairlift.outputs.jobs import read_job, read_mark
from pairlift.outputs.records import JobManifest
from pairlift.storage.store import Store


def refuse_beside(store: Store, names: Names, manifest: JobManifest | None) -> None:
    """Raise a `DestinationError` if a file that no job has written has the name of this job's manifest or rejects."""
    for name in (names.manifest, names.rejects("")):
        if manifest is None and store.stat(name) is not None and read_job(store, names).version is None:
            raise DestinationError(
                f"{store.root}{name}: exists but was not written by pairlift, and this job would write a file of that name; "
                "move it, or choose another output"
            )


def refuse_strangers(store: Store, names: Names, shown: str) -> None:
    """Raise a `DestinationError` if a directory or prefix holds files of no job, or parts that belong to no job."""
    listed = store.names("")
    old = next((name for name in listed if OLD_PART.fullmatch(name) or name in (OLD_MANIFEST, OLD_REJECTS)), None)
    if old is not None:
        raise DestinationError(
            f"{shown}: holds {old}, which an older version of pairlift has made; remove it, or choose another directory or "
            "prefix"
        )
    strange = next((name for name in listed if name and not names.is_ours(name)), None)
    if strange is not None:
        raise DestinationError(
            f"{shown}: holds {strange}, which does not belong to a pairlift job; choose a directory or prefix that is empty"
        )
    parts = {mark: name for name in listed if name.startswith("part-") and (mark := names.find_mark(name))}
    if parts and names.manifest not in listed:
        known = {mark for name in listed if name.startswith(names.folder) and (mark := names.find_mark(name))}
        lost = sorted(parts.keys() - known - {read_mark(store, names)})
        # A job's files are removed after its manifest is written. So if a job has just finished, its manifest exists.
        if lost and store.stat(names.manifest) is None:
            raise DestinationError(
                f"{shown}: holds parts that belong to no job ({parts[lost[0]]}); remove them, or choose another name"
            )
