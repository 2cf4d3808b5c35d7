"""Files of others where an output is to be made: they are left alone, and the job is refused."""

from __future__ import annotations

from pairlift.errors import DestinationError
from pairlift.names import OLD_MANIFEST, OLD_PART, OLD_REJECTS, Names
from pairlift.outputs.jobs import read_job, read_mark
from pairlift.outputs.records import JobManifest
from pairlift.storage.store import Store


def refuse_beside(store: Store, names: Names, manifest: JobManifest | None) -> None:
    """Refuse a manifest or rejects that no job has written, where ours will stand."""
    for name in (names.manifest, names.rejects("")):
        if manifest is None and store.stat(name) is not None and read_job(store, names).version is None:
            raise DestinationError(
                f"{store.root}{name}: exists but was not written by pairlift, and this job would write a file of that name; "
                "move it, or choose another output"
            )


def refuse_strangers(store: Store, names: Names, shown: str) -> None:
    """Refuse a directory or prefix that holds anything but a job's files, or parts of no job."""
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
            f"{shown}: holds {strange}, which is not of a pairlift job; choose a directory or prefix that is empty"
        )
    parts = {mark: name for name in listed if name.startswith("part-") and (mark := names.find_mark(name))}
    if parts and names.manifest not in listed:
        known = {mark for name in listed if name.startswith(names.folder) and (mark := names.find_mark(name))}
        lost = sorted(parts.keys() - known - {read_mark(store, names)})
        # The files of a job go after its manifest has come: one that has just finished has it at the second look.
        if lost and store.stat(names.manifest) is None:
            raise DestinationError(
                f"{shown}: holds parts of no job ({parts[lost[0]]}); remove them, or choose another name"
            )
