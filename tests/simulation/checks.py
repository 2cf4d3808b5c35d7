"""What must hold after each step of the simulation, and at its end."""

from __future__ import annotations

import functools

from pairlift import record
from pairlift.digest import sha256_bytes
from pairlift.errors import RecordError
from pairlift.names import Names
from pairlift.outputs.records import JobManifest

from simulation.jobs import HEADER, NAMES, VARIANTS, SimulatedInput, expected_chunks
from simulation.storage import Disk
from simulation.world import Process, ViolationError, World

Job = tuple[int, str]  # the version of the input, and the variant


@functools.cache
def expected_file(job: Job) -> bytes:
    """Return the output of an uninterrupted run."""
    return HEADER + b"".join(chunk.output for chunk in expected_chunks(*job))


@functools.cache
def expected_rejects(job: Job) -> bytes:
    """Return its rejected rows."""
    return b"".join(chunk.rejects for chunk in expected_chunks(*job))


@functools.cache
def load_manifest(data: bytes) -> JobManifest | None:
    """Return a manifest."""
    try:
        return record.load(JobManifest, data, "manifest")
    except RecordError:
        return None


def job_of(manifest: JobManifest) -> Job:
    """Return the job that a manifest is of."""
    return manifest.job.inputs[0].stamp.modified, manifest.job.variant


# What a message says when somebody else than pairlift must have had a hand in it.
BLAMES = (
    "not made by pairlift", "altered since it was made", "parts that belong to no job", "not belong to a pairlift job", "not written by", "are damaged",
    "was removed or replaced", "older version",
)  # fmt: skip


class Checks:
    """Watches the storage of one output."""

    def __init__(self, kind: str, world: World, disk: Disk, source: SimulatedInput) -> None:
        self._world, self._disk, self._source = world, disk, source
        self._names: Names = NAMES[kind]
        self._committed: Job | None = None  # the output that is there, if it is
        self._parts: dict[str, str] = {}  # its parts by name, with their digests
        self._last_whole: dict[Job, int] = {}  # the last step at which a job's output was there, whole
        self.user = False  # whether the one who changes things is the user
        self.acted = False  # whether the user has changed anything
        self.shared = False  # whether all processes have a share of one job
        self._lying = False  # whether there is a manifest of parts that the user has removed
        disk.watch = self.see
        world.ended = self.check_end

    def see(self, name: str, data: bytes | None) -> None:
        """Look at a change of a name."""
        process, names = self._world.current, self._names
        if process is not None and process.dead:
            raise ViolationError(f"{process.name} is dead and changes {name}")
        self._keep_time()
        if self.user:
            self.acted = True
            if name in (names.output or names.manifest, *self._parts):
                self._committed, self._parts, self._lying = None, {}, False
            return
        if process is not None and process.facts.get("unreadable") and data is None:
            self._check_kept(process, name)
        if not names.whole and self._committed is not None and name in (names.manifest, names.rejects("")):
            self._check_beside(process, name, data)
        if name in self._parts and (data is None or sha256_bytes(data) != self._parts[name]):
            raise ViolationError(f"the committed part {name} was {'removed' if data is None else 'changed'}")
        if name == (names.output or names.manifest):
            self._see_commit(process, name, data)

    def _see_commit(self, process: Process | None, name: str, data: bytes | None) -> None:
        if data is None and self._lying:
            self._lying = False
            return
        if data is None:
            raise ViolationError(f"the committed output was removed: {name}")
        if data == b"":
            return  # a file that is being made is not under this name
        job = self._check_parts(data) if self._names.whole else self._check_file(data)
        forced = any(p.facts["command"].force for p in self._world.processes if p.facts.get("identity") == job)
        if (
            self._committed is not None and not forced
        ):  # whoever helps the job of another to its end does it in its name
            raise ViolationError(f"{process.name if process else 'nobody'} replaced a committed output without --force")
        self._committed = None if self._lying else job
        self._keep_time()

    def _check_file(self, data: bytes) -> Job:
        for version in range(1, self._source.version + 1):
            for variant in VARIANTS:
                if data == expected_file((version, variant)):
                    return version, variant
        raise ViolationError(f"the output is not that of an uninterrupted run: {data!r}")

    def _check_parts(self, data: bytes) -> Job:
        manifest = load_manifest(data)
        if manifest is None:
            raise ViolationError("a manifest that cannot be read")
        job = job_of(manifest)
        chunks = [chunk.output for chunk in expected_chunks(*job) if chunk.output]
        found = [self._data(part.path) for part in manifest.parts]
        if found != [HEADER + chunk for chunk in chunks]:
            if (
                self.acted and b"" in found
            ):  # the user has removed parts since they were looked at: it has to be taken back
                self._lying, self._parts = True, {}
                return job
            raise ViolationError(f"the parts are not those of an uninterrupted run of {job}: {found}")
        rejects = self._data(manifest.rejects.path) if manifest.rejects else b""
        if rejects != expected_rejects(job):
            raise ViolationError("the rejects are not those of an uninterrupted run")
        self._parts = {part.path: part.sha256 for part in manifest.parts}
        if manifest.rejects:
            self._parts[manifest.rejects.path] = manifest.rejects.sha256
        return job

    def _check_beside(self, process: Process | None, name: str, data: bytes | None) -> None:
        """Hold what stands beside a committed file to it: only who is about to replace the file may replace that."""
        assert self._committed is not None
        if name == self._names.manifest:
            manifest = load_manifest(data or b"")
            same = manifest is not None and job_of(manifest) == self._committed
        else:
            same = (data or b"") == expected_rejects(self._committed)
        if not same:
            raise ViolationError(f"{process.name if process else 'nobody'} changed {name} beside a committed output")

    def committed_names(self) -> set[str]:
        """Return the files of what is committed."""
        return {*self._parts, self._names.output or self._names.manifest} if self._committed else set()

    def allow_refusal(self, process: Process) -> None:
        """See that a process that refuses what is there has a reason: the user has had a hand in it."""
        if not self.acted:
            raise ViolationError(f"{process.name} refuses what is there: {process.facts.get('error')}")

    def _check_kept(self, process: Process, name: str) -> None:
        mark = process.facts.get("mark", "-")
        if f"/{mark}/" in name and name.endswith((".json", ".part", ".rejects")):
            raise ViolationError(f"{process.name} could not read the input for once, and removes what is done: {name}")

    def check_end(self, process: Process) -> None:
        """Look at a process that has ended by itself."""
        said = process.facts.get("error", "")
        if not self.acted and any(words in said for words in BLAMES):
            raise ViolationError(f"{process.name} blames somebody who has done nothing: {said}")
        if not self.acted and self.shared and process.code == 7:
            raise ViolationError(f"{process.name} has a share of a job, and ends with 7: {said}")
        if process.code != 0 or "identity" not in process.facts:
            return
        self._keep_time()
        job = process.facts["identity"]
        if self._last_whole.get(job, -1) < process.facts["began"]:
            raise ViolationError(f"{process.name} says 0, and the output of {job} was not there, whole, while it ran")

    def check_clean(self) -> None:
        """Look at what is left when a last process has replaced all."""
        for name in self._disk.nodes:
            known = name in self._parts or name == self._names.manifest or name == self._names.output
            known = known or (not self._names.whole and name == self._names.rejects(""))
            if not known:
                raise ViolationError(f"{name} is left")

    def _keep_time(self) -> None:
        job = self._committed
        if job is None:
            return
        if not self._names.whole:  # a file is whole when all that goes with it is there
            manifest = load_manifest(self._data(self._names.manifest))
            rejects = self._data(self._names.rejects(""))
            if manifest is None or job_of(manifest) != job or rejects != expected_rejects(job):
                return
        self._last_whole[job] = self._world.steps

    def _data(self, name: str) -> bytes:
        node = self._disk.nodes.get(name)
        return node.data if node else b""
