"""Simulated jobs: the real ledger carries out the scoring of a small file that may be replaced, or fail to be read."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pairlift.digest import sha256_bytes
from pairlift.encoding.counts import Tally
from pairlift.errors import ChangedError, InputError, PairliftError, Stopped
from pairlift.formats.lines import LineReader
from pairlift.formats.row import Place, Written
from pairlift.inputs.plan import Descriptor, Span
from pairlift.inputs.rejects import MostRejects
from pairlift.jobs.carry import carry_out
from pairlift.jobs.durable_plan import DurablePlan
from pairlift.jobs.sharing import Share, share_out
from pairlift.names import Key, Names
from pairlift.outputs.identity import Identity
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.output import Output
from pairlift.outputs.records import Chunk, LastRun
from pairlift.storage.directory import DirectoryStore
from pairlift.storage.staging import storage_errors
from pairlift.storage.stamp import Input, Stamp

from simulation.storage import Disk, SimulatedBucket, SimulatedFiles
from simulation.world import Process, World

CHUNKS = 4  # each of ROWS rows; the second has a rejected row, and of the third all are rejected
ROWS = 2
HEADER = b"header\n"
VARIANTS = ("fp32", "int8", "last")
NAMES = {
    "file": Names(output="out.csv"),
    "directory": Names(suffix=".csv"),
    "object": Names(output="out.csv"),
    "prefix": Names(suffix=".csv"),
}


@dataclasses.dataclass(frozen=True)
class Command:
    """What a process is told to do: a variant of the bundle, and options."""

    variant: str = "fp32"
    restart: bool = False
    force: bool = False
    share: Share | None = None

    def __str__(self) -> str:
        words = [self.variant, *(name for name in ("restart", "force") if getattr(self, name))]
        return " ".join([*words, *([f"task {self.share.index + 1}/{self.share.count}"] if self.share else [])])


class SimulatedInput:
    """The input: each version of it has other rows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.version = 1

    def lines(self, version: int) -> list[bytes]:
        """Return the rows of a version."""
        return [b"row %d of version %d\n" % (row, version) for row in range(CHUNKS * ROWS)]

    def replace(self) -> None:
        """Put another file in its place."""
        self.version += 1


class SimulatedFile(io.RawIOBase):
    """The open input; a reading may fail."""

    def __init__(self, source: SimulatedInput) -> None:
        self.version = source.version
        self._source = source
        self._lines = iter(source.lines(source.version))
        self._count = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line."""
        self._count += 1
        if self._count % ROWS != 1:
            return next(self._lines, b"")
        world = self._source.world
        process = world.current
        try:
            return bytes(world.step("read input", "", lambda: next(self._lines, b""), False))
        except OSError:
            if process is not None:
                process.facts["unreadable"] = True
            raise


class SimulatedWriter:
    """Puts parts one after the other below a header."""

    header = HEADER

    def write(self, rows: Any, predictions: Any, probabilities: Any) -> Written:
        raise NotImplementedError

    def join(self, parts: Iterable[BinaryIO], file: BinaryIO) -> None:
        file.write(HEADER)
        for part in parts:
            file.write(part.read())


@functools.cache
def score(version: int, variant: str, key: Key, rows: tuple[bytes, ...]) -> Chunk:
    """Return what becomes of a chunk."""
    rejected = {0: 0, 1: 1, 2: ROWS, 3: 0}[key.row // ROWS]
    kept = rows[rejected:]
    return Chunk(
        key=key,
        tally=Tally(rows=len(rows), scored=len(kept), rejected={"bad": rejected} if rejected else {}),
        source=sha256_bytes(b"".join(rows)),
        output=b"".join(variant.encode() + b" " + row for row in kept),
        rejects=b"".join(b"rejected " + row for row in rows[:rejected]),
    )


@functools.cache
def expected_chunks(version: int, variant: str) -> tuple[Chunk, ...]:
    """Return all chunks of a job."""
    rows = [b"row %d of version %d\n" % (row, version) for row in range(CHUNKS * ROWS)]
    return tuple(
        score(version, variant, Key(0, first), tuple(rows[first : first + ROWS]))
        for first in range(0, CHUNKS * ROWS, ROWS)
    )


def identify(version: int, variant: str) -> Identity:
    """Return the identity of a job."""
    return Identity(
        inputs=(Input(name="in.csv", stamp=Stamp(size=100, modified=version)),), bundle="b", variant=variant, columns={},
        input_format=".csv", output_format=".csv", raw=True, chunk_rows=ROWS, runtime={},
    )  # fmt: skip


def plan_chunks(after: Key) -> Iterator[Descriptor]:
    """Yield the chunks of the plan."""
    span = Span(input="in.csv", stamp=Stamp(), place=Place(row=0), rows=ROWS, end=None)
    for first in range(0, CHUNKS * ROWS, ROWS):
        if first > after.row:
            yield Descriptor(lot=0, row=first, spans=(span,))


class SimulatedWork:
    """Reads the input by the real reader of lines, and scores it."""

    labels = ("yes", "no")
    resumable = True
    most_rejects: MostRejects | None = None

    def __init__(self, source: SimulatedInput, version: int, command: Command, process: Process) -> None:
        self._source, self._version, self._command, self._process = source, version, command, process

    @property
    def writer(self) -> SimulatedWriter:
        """The writer, which the commit asks for."""
        self._process.facts["committing"] = True
        return SimulatedWriter()

    def prepare(self) -> None:
        """Open the input."""
        self._check()

    def run(self, ledger: Ledger) -> LastRun:
        """Do what is not done."""
        self._process.facts["committing"] = False
        self._process.facts["mark"] = ledger.job.mark
        self._process.facts.setdefault("found", frozenset(ledger.receipts))
        if self._command.share and not ledger.one_process:
            plan = DurablePlan(ledger.keeper, 1, plan_chunks)
            for planned in share_out(self._command.share, plan, ledger, self._source.world.pause, lambda: 0.0):
                self._keep(ledger, planned.key, self._read()[planned.key.row // ROWS])
        else:
            for i, rows in enumerate(self._read()):
                receipt = ledger.receipts.get(Key(0, i * ROWS))
                if receipt is None:
                    self._keep(ledger, Key(0, i * ROWS), rows)
                elif receipt.source != sha256_bytes(b"".join(rows)):
                    raise ChangedError("the rows have changed")
        self._check()
        return LastRun(resumed=0, seconds=0.0, rows_per_second=0.0, peak_memory=0, threads=1)

    def _keep(self, ledger: Ledger, key: Key, rows: tuple[bytes, ...]) -> None:
        chunk = score(self._version, self._command.variant, key, rows)
        ledger.note(ledger.keeper.keep(chunk, SimulatedWriter()))

    def _read(self) -> list[tuple[bytes, ...]]:
        file = SimulatedFile(self._source)
        self._hold(file.version)
        reader = LineReader(file, "in.csv")  # type: ignore[arg-type]
        chunks = []
        for _ in range(CHUNKS):
            lines = [reader.next() for _ in range(ROWS)]
            chunks.append(tuple(line.data for line in lines if line))
        return chunks

    def _check(self) -> None:
        self._hold(int(self._source.world.step("stat input", "", lambda: self._source.version, False)))

    def _hold(self, version: int) -> None:
        if version != self._version:
            raise InputError("in.csv: changed while it was read")


def make_output(kind: str, world: World, disk: Disk) -> Output:
    """Return the output of a kind."""
    names = NAMES[kind]
    if kind in ("object", "prefix"):
        return Output(kind, SimulatedBucket(world, disk), names)
    return Output(kind, DirectoryStore("", names.folder, SimulatedFiles(world, disk)), names)


def run_command(kind: str, world: World, disk: Disk, source: SimulatedInput, command: Command, process: Process) -> int:
    """Run a command as the command line does, and return its exit code."""
    version = source.version
    process.facts |= {"identity": (version, command.variant), "command": command, "passing": False}
    try:
        with storage_errors("output"):
            work = SimulatedWork(source, version, command, process)
            output = make_output(kind, world, disk)
            identity = identify(version, command.variant)
            carry_out(output, identity, work, restart=command.restart, force=command.force)
    except Stopped:
        return 130
    except PairliftError as error:
        process.facts["error"] = str(error)
        process.facts["passing"] = isinstance(error, InputError) and "cannot be read" in str(error)
        return error.exit_code
    return 0
