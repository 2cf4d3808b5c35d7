"""Sharing: any number of plain processes work on one job. Each process gets its number and the number of processes.

The number determines only where a process begins. There are no claims and no leases: a process that has finished its
share takes unfinished chunks from the ends of the other shares. So the last chunks may be computed twice; the first
receipt of each chunk is valid.
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

PAUSE = 0.2  # seconds between two reads of a plan that another process is making
PATIENCE = 25  # reads of a plan that does not grow, before this process makes it
PATIENT_FOR = 3  # times the longest chunk's duration: how long to wait for others before taking their last chunks
LOOKS = 500  # how often, at most, a process lists all receipts while it does its share
VARIABLES = (  # environment variables of index and count
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("JOB_COMPLETION_INDEX", "PAIRLIFT_TASKS"),
)


class Chunk(Protocol):
    """A chunk of a plan."""

    @property
    def key(self) -> Key:
        """The chunk's name."""
        ...

    @property
    def rows(self) -> int:
        """The number of its rows."""
        ...


C = TypeVar("C", bound=Chunk)


class Plan(Protocol[C]):
    """The chunks of a job, as far as they are known."""

    @property
    def complete(self) -> bool:
        """Whether all chunks are known."""
        ...

    @property
    def chunks(self) -> list[C]:
        """The known chunks, in order."""
        ...

    def update(self) -> bool:
        """Read what other processes have added, and return whether they have added anything."""
        ...

    def finish(self) -> Iterator[C]:
        """Make the missing pieces, and yield all chunks."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """The share of a job that a process begins with.

    Attributes:
        index: The number of the process, from 0.
        count: The number of processes.
    """

    index: int
    count: int

    def run(self, scorer: Scorer, opened: Source, ledger: Ledger, terms: Terms) -> LastRun:
        """Score chunks until all chunks of the job are done, by any process; otherwise like `run_here`."""
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
    """Yield the chunks that this process is to score, until all chunks are done by any process.

    Args:
        share: The share with which this process begins.
        plan: The job's plan, which may still grow.
        ledger: The finished chunks.
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
        if count <= 2 * share.count and waited < PATIENT_FOR * longest:  # other processes are probably computing them
            wait(PAUSE)
            waited += PAUSE
            continue
        yield _choose(share, left)
        mine += 1


def _choose(share: Share, left: list[list[C]]) -> C:
    """Return an unfinished chunk from the end of the next share that has one; other processes mostly choose another."""
    shares = (left[(share.index + ahead) % share.count] for ahead in range(share.count))
    ends = [chunk for chunks in shares for chunk in reversed(chunks)]
    mine = (chunk for chunk in ends if chunk.key.row // max(1, chunk.rows) % share.count == share.index)
    return next(mine, ends[len(ends) * share.index // share.count])


def _while_it_grows(share: Share, plan: Plan[C], ledger: Ledger, wait: Callable[[float], None]) -> Iterator[C]:
    """Yield known chunks while another process makes the plan; make the plan if no process does."""
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
    """Parse `I/N`: the number of a process, from 1, and the number of processes.

    Raises:
        UsageError: The text has another form.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(
            f"--task {text}: expected I/N with I from 1 to N, such as 3/8 for the third of eight processes"
        )
    return Share(int(found[1]) - 1, int(found[2]))


def find_share(environment: Mapping[str, str]) -> Share | None:
    """Return the share that a scheduler gives a process by environment variables, or None.

    This supports Cloud Run, AWS Batch, Slurm (whose arrays may begin at any number and have steps) and Kubernetes.
    Kubernetes does not give the number of processes, so the user sets `PAIRLIFT_TASKS`.

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
            f"{index}={environment[index]} and {count}={environment[count]}: expected an index below the count; set the share "
            "with --task I/N"
        )
    return share


def describe_task(opened: Source, ledger: Ledger) -> Task:
    """Return everything that a worker needs to know about a job, with names that are valid in any process."""
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
    """Return a name that is valid in a process with another working directory."""
    return name if is_remote(name) else str(Path(name).absolute())
