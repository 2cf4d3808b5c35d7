"""Schedules: what a seed makes of the world, and the run of many."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from pairlift import names, record
from pairlift.jobs import durable_plan
from pairlift.jobs.sharing import Share
from pairlift.storage import directory

from simulation.checks import Checks
from simulation.jobs import NAMES, Command, SimulatedInput, run_command
from simulation.storage import Disk
from simulation.world import Process, Rates, ViolationError, World

KINDS = tuple(NAMES)
MOST_STARTS = 7
FINAL = Command(variant="last", force=True, restart=True)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A schedule that broke a promise."""

    seed: int
    what: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}: {self.what}", *(f"  {line}" for line in self.trace[-10:])])


class Schedule:
    """One seed's processes and events."""

    def __init__(self, seed: int, seen: Counter[tuple[str, str]], record: bool = False) -> None:
        self.seed = seed
        self.world = World(seed, seen, record)
        self.disk = Disk()
        self.kind = KINDS[seed % len(KINDS)]
        self.source = SimulatedInput(self.world)
        self.checks = Checks(self.kind, self.world, self.disk, self.source)
        self.starts = 0

    def run(self) -> None:
        """Play it; a `ViolationError` if something does not hold."""
        world, draw = self.world, self.world.random
        world.rates = Rates(
            switch=draw.choice((0.02, 0.1, 0.3)), kill=draw.choice((0.0, 0.01, 0.04)), fail=draw.choice((0.0, 0.0, 0.02)),
            lost=draw.choice((0.0, 0.0, 0.02)),
        )  # fmt: skip
        self.plan = draw.choice(("same", "replaced", "mixed", "shared"))
        self.checks.shared = self.plan == "shared" and self.kind != "file"
        for _ in range(draw.randint(1, 4)):
            self.start(asleep=draw.choice((0, 0, 10, 30)))
        for _ in range(draw.randint(2, MOST_STARTS)):
            steps = world.steps + draw.randint(1, 40)
            world.run(lambda steps=steps: world.steps >= steps)  # type: ignore[misc]
            self.disturb()
        world.rates = Rates(0.1, 0, 0, 0)
        world.run()
        self.finish()

    def start(self, asleep: int = 0, command: Command | None = None) -> Process:
        """Start a process."""
        self.starts += 1
        command = command or self.draw_command()

        def live(process: Process) -> int:
            process.facts["began"] = self.world.steps
            return run_command(self.kind, self.world, self.disk, self.source, command, process)

        return self.world.start(f"p{self.starts} ({command})", live, asleep)

    def draw_command(self) -> Command:
        """Return what a process is told to do."""
        draw = self.world.random
        if self.plan == "shared":
            return Command(share=Share(draw.randrange(3), 3))
        if self.plan in ("same", "replaced") or draw.random() < 0.4:
            return Command(force=draw.random() < 0.1)
        return Command(
            variant=draw.choice(("fp32", "int8")), restart=draw.random() < 0.3, force=draw.random() < 0.5,
            share=Share(draw.randrange(2), 2) if draw.random() < 0.2 else None,
        )  # fmt: skip

    def disturb(self) -> None:
        """Have something happen from outside."""
        draw = self.world.random
        what = draw.random()
        living = [p for p in self.world.processes if p.code is None and not p.dead]
        if what < 0.45 and len(living) < 4:
            self.start()
        elif what < 0.6 and living:
            draw.choice(living).asleep = draw.randint(20, 200)
        elif what < 0.75 and living:
            self.kill(draw.choice(living))
        elif what < 0.85 and self.plan in ("mixed", "replaced"):
            self.world.note("the input is replaced")
            self.source.replace()
        elif what < 0.93 and self.plan == "mixed":
            self.remove_all()
        elif what < 0.97:
            self.damage()

    def kill(self, process: Process) -> None:
        """Kill a process between two steps."""
        self.world.note(f"{process.name} is killed")
        process.dead = True
        process.locks.clear()

    def remove_all(self) -> None:
        """Have the user remove the output and all that goes with it."""
        self.world.note("the user removes everything")
        self.checks.user = True
        for name in list(self.disk.nodes):
            self.disk.remove(name)
        self.checks.user = False

    def damage(self) -> None:
        """Change a byte of a chunk that is done, and not yet committed, while no process may have looked at it for the last time."""
        living = [p for p in self.world.processes if not p.dead and p.code is None]
        decided = any(name.endswith("verdict.json") for name in self.disk.nodes)
        if any(p.facts.get("committing") for p in living) or (living and decided):
            return
        parts = [
            n
            for n in sorted(self.disk.nodes)
            if n.endswith((".part", ".csv", ".rejects")) and n not in self.checks.committed_names()
        ]
        if parts:
            name = self.world.random.choice(parts)
            self.world.note(f"{name} is damaged")
            self.checks.user = True
            self.disk.put(name, self.disk.nodes[name].data[:-2] + b"X\n")
            self.checks.user = False

    def finish(self) -> None:
        """See that a last process, which nobody disturbs, can replace what is there."""
        self.world.kill_all()
        self.world.rates = Rates(0, 0, 0, 0)
        last = self.start(command=FINAL)
        self.world.run()
        if last.code == 7:  # what the user's hand left: he removes it
            self.world.note(f"the last one says: {last.facts.get('error')}")
            self.checks.allow_refusal(last)
            self.remove_all()
            last = self.start(command=FINAL)
            self.world.run()
        if last.code != 0:
            raise ViolationError(f"the last process ends with {last.code}: {last.facts.get('error')}")
        self.checks.check_clean()


def play(seed: int, seen: Counter[tuple[str, str]]) -> Failure | None:
    """Play a seed, and once more with a trace if it fails."""
    try:
        with fixed_marks(seed):
            Schedule(seed, seen).run()
    except Exception:
        again = Schedule(seed, Counter(), record=True)
        try:
            with fixed_marks(seed):
                again.run()
        except Exception as error:
            what = f"{again.kind}: {type(error).__name__}: {error}"
            return Failure(seed, what, tuple(again.world.trace or ()))
        return Failure(seed, f"{again.kind}: does not fail twice", tuple(again.world.trace or ()))
    return None


@contextlib.contextmanager
def fixed_marks(seed: int) -> Iterator[None]:
    """Have marks follow from a seed, and each record be read once: what is read of equal bytes is equal."""
    draw = random.Random(seed)

    def uuid4() -> uuid.UUID:
        return uuid.UUID(int=draw.getrandbits(128))

    load = functools.cache(record.load)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "uuid4", uuid4)
        patch.setattr(directory, "uuid4", uuid4)
        patch.setattr(record, "load", load)
        patch.setattr(durable_plan, "PIECE_CHUNKS", 2)
        yield
