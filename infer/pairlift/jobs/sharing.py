"""Sharing: one job done by any number of plain processes, each of which is told its number and how many there are.

The number says only where a process begins. There are no claims and no leases: who is done with his share takes what is left of the
others', from its end; the last chunks may be computed twice, and the first receipt of each holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pairlift.errors import UsageError
from pairlift.inputs.names import common_folder
from pairlift.inputs.source import Source
from pairlift.jobs.durable_plan import open_plan
from pairlift.jobs.identify import read_runtime
from pairlift.jobs.local import run_here
from pairlift.jobs.terms import Terms, check_signals, measure_run
from pairlift.jobs.worker import Task, Worker
from pairlift.model.scorer import Scorer
from pairlift.names import Key
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.records import LastRun
from pairlift.signals import noted_signals
from pairlift.storage.url import is_remote

PAUSE = 0.2  # seconds between two looks at a plan that another process is making
PATIENCE = 25  # looks at a plan that does not grow, before it is made here
PATIENT_FOR = 3  # times as long as the longest chunk took, without a chunk of another process, before the last chunks are done here
LOOKS = 500  # at what the others have done, in all: each is a listing of all receipts
VARIABLES = (  # index and count
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("JOB_COMPLETION_INDEX", "PAIRLIFT_TASKS"),
)


class Chunk(Protocol):
    """A chunk of a plan."""

    @property
    def key(self) -> Key:
        """Its name."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it has."""
        ...


C = TypeVar("C", bound=Chunk)


class Plan(Protocol[C]):
    """The chunks of a job, as far as they are known."""

    @property
    def complete(self) -> bool:
        """Whether all are known."""
        ...

    @property
    def chunks(self) -> list[C]:
        """Those that are known, in order."""
        ...

    def update(self) -> bool:
        """Read what others have added, and return whether there was anything."""
        ...

    def finish(self) -> Iterator[C]:
        """Make what is missing."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """The share of a job that a process begins with.

    Attributes:
        index: From 0.
        count: Of all processes.
    """

    index: int
    count: int

    def run(self, scorer: Scorer, opened: Source, ledger: Ledger, terms: Terms) -> LastRun:
        """Do chunks until all of the job are done, by whomever; as `run_here`."""
        if ledger.one_process or self.count == 1:
            return run_here(scorer, opened, ledger, terms)
        opened.check_headers()
        task = describe_task(opened, ledger)
        inputs = tuple(dataclasses.replace(each, name=locate(each.name)) for each in opened.inputs)
        plan = open_plan(ledger.keeper, inputs, opened.found, opened.options.chunk_rows)
        rejected, resumed, done, started = Counter[str](), ledger.tally.rows, 0, time.monotonic()
        with noted_signals() as signals, contextlib.closing(Worker(scorer, task)) as worker:
            for descriptor in share_out(self, plan, ledger):
                for receipt in worker.run(descriptor):
                    ledger.note(receipt)
                    done += receipt.tally.rows
                    rejected.update(receipt.tally.rejected)
                    terms.tell(receipt.tally, rejected, None)
                    terms.check_rejects(ledger.tally, final=False, kept=True)
                    check_signals(signals, ledger.tally.rows)
                    terms.check_time(0, ledger.tally.rows, resumed)
        terms.check_rejects(ledger.tally, final=True, kept=True)
        terms.check_time(ledger.size, ledger.tally.rows, resumed)
        return measure_run(scorer.threads, ledger.tally.rows - done, done, started)


def share_out(
    share: Share,
    plan: Plan[C],
    ledger: Ledger,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[C]:
    """Yield the chunks that a process is to do, one after the other, until all are done by whomever.

    Args:
        share: Where it begins.
        plan: The job's plan, which may still grow.
        ledger: What is done.
        wait: Waits for some seconds.
        now: Returns the time in seconds.
    """
    yield from _while_it_grows(share, plan, ledger, wait)
    chunks, longest, mine = plan.chunks, 0.0, 0
    ends = [len(chunks) * i // share.count for i in range(share.count + 1)]
    for i, chunk in enumerate(chunks[ends[share.index] : ends[share.index + 1]]):
        if i % (1 + len(chunks) // LOOKS) == 0:
            ledger.update()
        if not ledger.covers(chunk.key, chunk.rows):
            began = now()
            yield chunk
            longest, mine = max(longest, now() - began), mine + 1
    waited, by_others = 0.0, 0
    while True:
        ledger.update()
        left = [[c for c in chunks[a:b] if not ledger.covers(c.key, c.rows)] for a, b in itertools.pairwise(ends)]
        count = sum(map(len, left))
        if not count:
            return
        if len(chunks) - count - mine > by_others:
            waited, by_others = 0.0, len(chunks) - count - mine
        if count <= 2 * share.count and waited < PATIENT_FOR * longest:  # most likely others are at work on them
            wait(PAUSE)
            waited += PAUSE
            continue
        yield _choose(share, left)
        mine += 1


def _choose(share: Share, left: list[list[C]]) -> C:
    """Return a chunk that is not done, from the end of the next share that has one; others who choose now choose another one."""
    shares = (left[(share.index + ahead) % share.count] for ahead in range(share.count))
    ends = [chunk for chunks in shares for chunk in reversed(chunks)]
    mine = (chunk for chunk in ends if chunk.key.row // max(1, chunk.rows) % share.count == share.index)
    return next(mine, ends[len(ends) * share.index // share.count])


def _while_it_grows(share: Share, plan: Plan[C], ledger: Ledger, wait: Callable[[float], None]) -> Iterator[C]:
    """Yield chunks that are known while another process makes the plan; make it if none does."""
    looks = 0
    plan.update()
    while not plan.complete:
        if ledger.fresh or looks > PATIENCE:
            for _ in plan.finish():
                pass
            return
        ledger.update()
        left = [chunk for chunk in plan.chunks if not ledger.covers(chunk.key, chunk.rows)]
        if left:
            yield left[len(left) * share.index // share.count]
        else:
            wait(PAUSE)
        looks = 0 if plan.update() else looks + 1


def parse_share(text: str) -> Share:
    """Read `I/N`, the number of a process from 1 and how many there are.

    Raises:
        UsageError: It has another form.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(
            f"--task {text}: expected I/N with I from 1 to N, such as 3/8 for the third of eight processes"
        )
    return Share(int(found[1]) - 1, int(found[2]))


def find_share(environment: Mapping[str, str]) -> Share | None:
    """Return the share that a scheduler gives a process by its environment, or None.

    Cloud Run, AWS Batch, Slurm (whose arrays may begin anywhere and have steps) and Kubernetes, which does not say how many there
    are: `PAIRLIFT_TASKS` does.

    Raises:
        UsageError: The variables contradict each other.
    """
    for index, count in VARIABLES:
        if index in environment and count in environment:
            return _read_share(environment, index, count, 0, 1)
    if "SLURM_ARRAY_TASK_ID" in environment and "SLURM_ARRAY_TASK_COUNT" in environment:
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
        return _read_share(environment, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", first, step)
    return None


def _read_share(environment: Mapping[str, str], index: str, count: str, first: int, step: int) -> Share:
    try:
        share = Share((int(environment[index]) - first) // step, int(environment[count]))
    except (ValueError, ZeroDivisionError):
        share = Share(0, 0)
    if not 0 <= share.index < share.count:
        raise UsageError(
            f"{index}={environment[index]} and {count}={environment[count]}: expected an index below the count; say which share with "
            "--task I/N"
        )
    return share


def describe_task(opened: Source, ledger: Ledger) -> Task:
    """Return what a worker must know of a job, by names that hold in any process."""
    return Task(
        leaders=tuple(dataclasses.replace(each, name=locate(each.name)) for each in opened.leaders),
        folder=common_folder([locate(each.name) for each in opened.inputs]),
        found=opened.found,
        written=opened.written,
        options=opened.options,
        keeper=ledger.keeper,
        runtime=read_runtime(opened.found, opened.written),
    )


def locate(name: str) -> str:
    """Return a name that holds in a process with another working directory."""
    return name if is_remote(name) else str(Path(name).absolute())
