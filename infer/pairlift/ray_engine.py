"""The Ray engine: a job's chunks on the machines of a cluster, by Ray Data; descriptors go there, and receipts come back."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from pairlift import chunk
from pairlift.commit import LastRun
from pairlift.destination import Work
from pairlift.errors import Stopped, StorageError, UsageError
from pairlift.formats import STREAM
from pairlift.identity import read_runtime
from pairlift.inputs import common_folder
from pairlift.journal import Entry
from pairlift.local_engine import Terms, measure_run
from pairlift.plan import Descriptor, explain_plan, group_descriptors, plan_inputs
from pairlift.ray_cluster import FREE_CPUS, connected, last_line
from pairlift.ray_worker import GROUP, RECEIPT, RayWorker
from pairlift.scorer import Scorer
from pairlift.signals import noted_signals, raised_signals
from pairlift.source import Source, check_stamp
from pairlift.storage import is_remote
from pairlift.worker import Task

RETRIES = 3  # of a chunk whose worker is lost; workers are begun again without end
MOST_LOST = 10  # groups that are given up before the job is; until then the others are done
AT_ONCE = 2  # groups that a worker has, so that it need not wait for the next one

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How a job runs on Ray.

    Attributes:
        address: Of the cluster (`ray://…` or as `ray.init` takes it); None for RAY_ADDRESS, or else a Ray of our own.
        threads: Of each worker.
        workers: How many; None for as many as there are processors for.
        seconds: How long a chunk may take.
        dashboard: Whether a Ray of our own has its dashboard.
    """

    address: str | None = None
    threads: int = 1
    workers: int | None = None
    seconds: float = 600.0
    dashboard: bool = False

    def run(self, scorer: Scorer, opened: Source, work: Work, terms: Terms) -> LastRun:
        """Do the chunks that are not done; as `run_here`.

        Raises:
            UsageError: The extra is not installed, the cluster is too small, or the input is standard input.
            StorageError: A worker was lost again and again, or took too long.
        """
        resumed, rejected = work.tally.rows, Counter(work.tally.rejected)
        descriptors = _plan(opened)
        total = sum(descriptor.rows for descriptor in descriptors)
        for entry in work.entries:
            terms.tell(entry.tally, rejected, total, resumed=True)
        left = [descriptor for descriptor in descriptors if not _is_done(descriptor, work)]
        started, threads = time.monotonic(), self.threads
        if left:
            groups = list(group_descriptors(left, opened.found))
            with connected(self.address, self.dashboard) as processors, noted_signals() as signals:
                workers = _count_workers(self, processors, len(groups))
                threads, started = workers * self.threads, time.monotonic()
                try:
                    for entry in _run_groups(self, scorer, _describe_task(opened, work, terms), groups, workers):
                        work.note(entry)
                        rejected.update(entry.tally.rejected)
                        terms.tell(entry.tally, rejected, total)
                        terms.check_rejects(work.tally, final=False, kept=True)
                        if signals:
                            raise Stopped(signals[0])
                except Stopped as error:
                    state = f"{work.tally.rows} rows are done; run the same command to go on"
                    raise Stopped(error.number, state) from None
        if work.tally.rows != total:
            raise StorageError(
                f"{opened.name}: {work.tally.rows} of {total} rows came back from the cluster; run the same command again"
            )
        terms.check_rejects(work.tally, final=True, kept=True)
        return measure_run(threads, resumed, work.tally.rows - resumed, started)


def check_ends(source: str, output: str) -> None:
    """Refuse standard input and standard output; a `UsageError`."""
    for name, what in ((source, "standard input can be read once only"), (output, "standard output has no parts")):
        if name == STREAM:
            raise UsageError(f"--engine ray: {what}, and the work is done by several; name a file or an object")


def _plan(opened: Source) -> list[Descriptor]:
    known = {each.name: (each, _locate(each.name)) for each in opened.inputs}  # descriptors share their input's name
    descriptors, lasts = list[Descriptor](), dict[str, Descriptor]()
    for descriptor in plan_inputs([each.name for each in opened.inputs], opened.found):
        expected, located = known[descriptor.input]
        check_stamp(descriptor.stamp, expected)
        lasts[descriptor.input] = descriptor
        descriptors.append(dataclasses.replace(descriptor, input=located))
    advice = explain_plan(list(lasts.values()))
    if advice:
        log.warning(advice)
    return descriptors


def _is_done(descriptor: Descriptor, work: Work) -> bool:
    """Whether all chunks of a descriptor are done; large rows of Parquet are more than one."""
    row, end = descriptor.first, descriptor.first + descriptor.rows
    if end <= work.tally.rows:
        return True
    while row in work.later:
        row += work.later[row].tally.rows
    return row >= end


def _count_workers(cluster: Cluster, processors: int, groups: int) -> int:
    room = (processors - FREE_CPUS) // cluster.threads
    asked = min(cluster.workers or room, groups)
    if asked < 1 or asked > room:
        raise UsageError(
            f"--engine ray: the cluster has {processors} processors, expected at least "
            f"{max(1, asked) * cluster.threads + FREE_CPUS} for {max(1, asked)} workers of {cluster.threads} threads "
            "and one for Ray itself; add machines, or lower --workers or --threads"
        )
    return asked


def _describe_task(opened: Source, work: Work, terms: Terms) -> Task:
    return Task(
        leaders=tuple(dataclasses.replace(each, name=_locate(each.name)) for each in opened.leaders),
        folder=common_folder([_locate(each.name) for each in opened.inputs]),
        found=opened.found,
        written=opened.written,
        fields=opened.fields,
        raw=terms.raw,
        keeper=work.keeper,
        runtime=read_runtime(opened.found, opened.written),
    )


def _run_groups(
    cluster: Cluster, scorer: Scorer, task: Task, groups: Sequence[list[Descriptor]], workers: int
) -> Iterator[Entry]:
    """Yield a receipt for each chunk, as they come; a signal that comes while none does raises `Stopped`."""
    import ray
    import ray.util.client
    from ray.exceptions import RayError

    made = (
        _locate(scorer.bundle.path),
        scorer.bundle.digest,
        scorer.variant,
        cluster.threads,
        task,
        cluster.seconds,
        chunk.CHUNK_ROWS,
    )
    through_client = ray.util.client.ray.is_connected()
    receipts = (_relay if through_client else _take_receipts)(groups, made, workers, cluster.threads)
    done = set[int]()
    died: RayError | None = None
    try:
        with contextlib.closing(receipts):
            while True:
                with raised_signals():
                    receipt = next(receipts, None)
                if receipt is None:
                    break
                found = receipt[RECEIPT]
                if isinstance(found, BaseException):
                    raise found
                done.add(found.first)
                yield found
    except RayError as error:
        died = error
    left = [each.first for group in groups for each in group if each.first not in done]
    if left:
        others = f" and {len(left) - 1} others" if len(left) > 1 else ""
        raise StorageError(
            f"{task.leaders[0].name}: the chunk of row {left[0]}{others} cannot be done: workers died or were lost "
            f"{RETRIES + 1} times at one{f' ({last_line(died)})' if died else ''}; what is done is kept: run the same command again, or see "
            "what these rows do to a worker (memory, most often)"
        ) from died


def _take_receipts(
    groups: Sequence[list[Descriptor]], made: tuple[Any, ...], workers: int, threads: int
) -> Generator[dict[str, Any], None, None]:
    """Yield the rows of a data set whose workers do the groups."""
    import ray

    data = ray.data.from_items([{GROUP: group} for group in groups], override_num_blocks=len(groups))
    data.context.enable_progress_bars = False
    data.context.max_errored_blocks = MOST_LOST
    data.context.target_max_block_size = 1  # byte: a receipt comes back when its chunk is done, not with the others
    with warnings.catch_warnings():
        # Ray 2.60 says that these names will be others, and has none yet that retries.
        warnings.simplefilter("ignore")
        receipts = data.map_batches(
            RayWorker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=AT_ONCE),
            fn_constructor_args=made,
            num_cpus=threads,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
    yield from receipts.iter_rows()


class Relay:
    """Takes receipts in an actor: Ray Data does not run in a process that has come by `ray://`."""

    def __init__(self, *terms: Any) -> None:
        self._receipts = _take_receipts(*terms)

    def take(self) -> dict[str, Any] | None:
        """Return the next receipt, or None after the last."""
        return next(self._receipts, None)


def _relay(*terms: Any) -> Generator[dict[str, Any], None, None]:
    import ray

    actor = ray.remote(num_cpus=0)(Relay).remote(*terms)
    try:
        while (receipt := ray.get(actor.take.remote())) is not None:
            yield receipt
    finally:
        ray.kill(actor)


def _locate(name: str) -> str:
    """Return a name that holds in a process with another working directory."""
    return name if is_remote(name) else str(Path(name).absolute())
