"""A simulated world: processes that a seeded scheduler runs one step at a time, and storage that fails as real storage does.

Each operation of storage is a step. At each, the scheduler may let another process go on, kill the process before or after the
operation takes effect, have the operation fail, or have it succeed with the answer lost. A killed process takes no further
effect: each later operation of it raises, from its `finally` and `except` too.
"""

from __future__ import annotations

import dataclasses
import errno
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from greenlet import greenlet

GO, SWITCH, KILL_BEFORE, KILL_AFTER, FAIL, LOST, LATE = (
    "go",
    "suspended",
    "killed before",
    "killed after",
    "fails",
    "answer lost",
    "late",
)
EVENTS = (SWITCH, KILL_BEFORE, KILL_AFTER, FAIL, LOST, LATE)
MOST_STEPS = 6000
MOST_TAKEN = 60_000


class KilledError(BaseException):
    """The process is dead."""


class ViolationError(Exception):
    """Something that was promised does not hold."""


class EndlessError(Exception):
    """A process does not come to an end."""


@dataclasses.dataclass(slots=True)
class Rates:
    """How often what happens at a step."""

    switch: float
    kill: float
    fail: float
    lost: float


@dataclasses.dataclass(slots=True, eq=False)
class Process:
    """A simulated process.

    Attributes:
        name: For the trace.
        run: What it does; returns its exit code.
        dead: Whether it was killed.
        code: Its exit code, when it has ended by itself.
        locks: The numbers of the files that it holds locks of.
        asleep: Steps that it does not take part in yet.
        facts: What the checks note about it.
    """

    name: str
    run: Callable[[Process], int]
    dead: bool = False
    code: int | None = None
    locks: set[int] = dataclasses.field(default_factory=set)
    asleep: int = 0
    greenlet: Any = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


class World:
    """The scheduler."""

    def __init__(self, seed: int, seen: Counter[tuple[str, str]], record: bool = False) -> None:
        self.random = random.Random(seed)
        self.seen = seen
        self.steps = self.taken = 0
        self.processes: list[Process] = []
        self.current: Process | None = None
        self.rates = Rates(0, 0, 0, 0)
        self.trace: list[str] | None = [] if record else None
        self.ended: Callable[[Process], None] = lambda process: None
        self._hub = greenlet.getcurrent()
        self._error: BaseException | None = None

    def start(self, name: str, run: Callable[[Process], int], asleep: int = 0) -> Process:
        """Start a process."""
        process = Process(name=name, run=run, asleep=asleep)
        process.greenlet = greenlet(lambda: self._live(process), parent=self._hub)
        self.processes.append(process)
        self.note(f"{name} starts")
        return process

    def step(self, operation: str, what: str, effect: Callable[[], Any], mutates: bool) -> Any:
        """Take a step of the current process: an operation with its effect, which happens whole or not at all."""
        process = self.current
        if process is None:  # a check, outside all processes
            return effect()
        if process.dead:
            raise KilledError
        self.taken += 1
        if self.taken > MOST_TAKEN:
            raise EndlessError(f"{process.name} does not come to an end")
        event = self._choose(mutates)
        if event is GO:
            return effect()
        self.seen[operation, event] += 1
        self.note(f"{process.name} {event} at {operation} {what}")
        if event is SWITCH:
            self.let_others(process)
            return effect()
        if event is KILL_BEFORE:
            self._kill(process)
        if event is FAIL:
            raise OSError(errno.EIO, "Input/output error", what)
        result = effect()
        if event is KILL_AFTER:
            self._kill(process)
        if event is LATE:
            self.let_others(process)
            return result
        raise OSError(errno.EIO, "Input/output error", what)

    def let_others(self, process: Process) -> None:
        """Let other processes go on; return when it is this one's turn again."""
        self._hub.switch()
        if process.dead:
            raise KilledError

    def pause(self, seconds: float) -> None:
        """Wait, as a process that polls does."""
        process = self.current
        if process is not None:
            self.seen["wait", SWITCH] += 1
            process.asleep = 5
            self.let_others(process)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let processes go on until all have ended, or as long as is said."""
        while not until():
            waiting = [p for p in self.processes if p.code is None and not p.dead]
            if not waiting:
                return
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise EndlessError(f"{', '.join(p.name for p in waiting)} did not come to an end")
            ready = [p for p in waiting if p.asleep <= 0]
            for process in waiting:
                process.asleep -= 1
            self._resume(self.random.choice(ready or waiting))

    def kill_all(self) -> None:
        """Kill what still lives."""
        for process in self.processes:
            if process.code is None and not process.dead:
                process.dead = True
                self._resume(process)

    def note(self, text: str) -> None:
        """Put a line into the trace."""
        if self.trace is not None:
            self.trace.append(text)

    def _resume(self, process: Process) -> None:
        self.current = process
        try:
            process.greenlet.switch()
        finally:
            self.current = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _live(self, process: Process) -> None:
        try:
            if process.dead:
                return
            process.code = process.run(process)
            self.note(f"{process.name} ends with {process.code}")
            self.current = None
            self.ended(process)
        except KilledError:
            process.dead = True
        except BaseException as error:
            self._error = error
        finally:
            process.locks.clear()

    def _kill(self, process: Process) -> None:
        process.dead = True
        process.locks.clear()
        raise KilledError

    def _choose(self, mutates: bool) -> str:
        rates, at = self.rates, self.random.random()
        if at < rates.switch:
            return SWITCH if at < rates.switch * 0.7 else LATE
        at -= rates.switch
        if at < rates.kill:
            return KILL_BEFORE if at < rates.kill / 2 or not mutates else KILL_AFTER
        at -= rates.kill
        if at < rates.fail:
            return FAIL
        at -= rates.fail
        if at < rates.lost and mutates:
            return LOST
        return GO
