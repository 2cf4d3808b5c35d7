"""The Ray engine: a job's chunks on the machines of a cluster, by Ray Data; descriptors go there, and receipts come back."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pairlift import chunk, formats
from pairlift.commit import LastRun
from pairlift.destination import Work
from pairlift.errors import PairliftError, Stopped, StorageError, UsageError
from pairlift.journal import Entry
from pairlift.local_engine import Terms, measure_run
from pairlift.plan import Descriptor, group_descriptors, plan_rows
from pairlift.scorer import Scorer
from pairlift.session import count_threads
from pairlift.signals import noted_signals
from pairlift.source import Source
from pairlift.worker import Task, Worker

RETRIES = 3  # of a chunk whose worker is lost
RECEIPT = "receipt"
GROUP = "group"
# Ray asks for a processor of its own for each thing that it runs: with all of them taken by workers, nothing feeds these.
FREE_CPUS = 1
OBJECT_STORE_BYTES = 100 << 20  # of a Ray of our own: receipts take a kilobyte each


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
            UsageError: The extra is not installed, or the cluster is too small.
            StorageError: A worker was lost again and again, or took too long.
        """
        resumed, rejected = work.tally.rows, Counter(work.tally.rejected)
        descriptors = list(_plan(opened))
        total = sum(descriptor.rows for descriptor in descriptors)
        for entry in work.entries:
            terms.tell(entry.tally, rejected, total, resumed=True)
        left = [descriptor for descriptor in descriptors if not _is_done(descriptor, work)]
        started, threads = time.monotonic(), 0
        if left:
            task = Task(
                source=opened.name,
                stamp=opened.stamp,
                found=opened.found,
                written=opened.written,
                fields=opened.fields,
                raw=terms.raw,
                keeper=work.keeper,
            )
            groups = list(group_descriptors(left, opened.found))
            with _connected(self) as processors, noted_signals() as signals:
                workers = _count_workers(self, processors, len(groups))
                threads, started = workers * self.threads, time.monotonic()
                for entry in _run_groups(self, scorer, task, groups, workers):
                    work.note(entry)
                    rejected.update(entry.tally.rejected)
                    terms.tell(entry.tally, rejected, total)
                    terms.check_rejects(work.tally, final=False, kept=True)
                    if signals:
                        raise Stopped(signals[0], f"{work.tally.rows} rows are done; run the same command to go on")
        if work.tally.rows != total:
            raise StorageError(
                f"{opened.name}: {work.tally.rows} of {total} rows came back from the cluster; run the same command again"
            )
        terms.check_rejects(work.tally, final=True, kept=True)
        return measure_run(threads or self.threads, resumed, work.tally.rows - resumed, started)


def _plan(opened: Source) -> Iterator[Descriptor]:
    with formats.open_input(opened.name) as file:
        yield from plan_rows(opened.name, file, opened.found)


def _is_done(descriptor: Descriptor, work: Work) -> bool:
    """Whether all chunks of a descriptor are done; large rows of Parquet are more than one."""
    row, end = descriptor.place.row, descriptor.place.row + descriptor.rows
    if end <= work.tally.rows:
        return True
    while row in work.later:
        row += work.later[row].tally.rows
    return row >= end


def _count_workers(cluster: Cluster, processors: int, groups: int) -> int:
    room = (processors - FREE_CPUS) // cluster.threads
    asked = cluster.workers or min(room, groups)
    if asked < 1 or asked > room:
        raise UsageError(
            f"--engine ray: the cluster has {processors} processors, expected at least "
            f"{max(1, asked) * cluster.threads + FREE_CPUS} for {max(1, asked)} workers of {cluster.threads} threads "
            "and one for Ray itself; add machines, or lower --workers or --threads"
        )
    return asked


@contextlib.contextmanager
def _connected(cluster: Cluster) -> Iterator[int]:
    """Be connected to Ray, and yield how many processors it has."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(
        "RAY_BACKEND_LOG_LEVEL", "fatal"
    )  # what is wrong comes back as an error; the rest is Ray's own
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise UsageError('--engine ray needs: pip install "pairlift[ray]"') from None
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        options |= {
            "num_cpus": count_threads() + FREE_CPUS,
            "include_dashboard": cluster.dashboard,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"--engine ray: no Ray at {address or 'this machine'} ({_line(error)}); start it, or mend RAY_ADDRESS"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        if ours:
            ray.shutdown()


def _run_groups(
    cluster: Cluster, scorer: Scorer, task: Task, groups: Sequence[list[Descriptor]], workers: int
) -> Iterator[Entry]:
    """Yield a receipt for each chunk, as they come."""
    import ray
    from ray.exceptions import RayError

    made = (scorer.bundle.path, scorer.variant, cluster.threads, task, cluster.seconds, chunk.CHUNK_ROWS)
    data = ray.data.from_items([{GROUP: group} for group in groups], override_num_blocks=len(groups))
    with warnings.catch_warnings():
        # Ray 2.60 says that these names will be others, and has none yet that retries.
        warnings.simplefilter("ignore")
        receipts = data.map_batches(
            RayWorker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            fn_constructor_args=made,
            num_cpus=cluster.threads,
            max_restarts=RETRIES,
            max_task_retries=RETRIES,
        )
    done = set[int]()
    try:
        for receipt in receipts.iter_rows():
            found = receipt[RECEIPT]
            if isinstance(found, PairliftError):
                raise found
            for entry in found:
                done.add(entry.first)
                yield entry
    except RayError as error:
        first = next((g[0] for g in groups if g[0].place.row not in done), groups[-1][-1])
        raise StorageError(
            f"{task.source}: a worker was lost {RETRIES + 1} times or failed ({_line(error)}); the first rows that are not done "
            f"begin at {first.place.row}; what is done is kept: run the same command again, or take these rows out"
        ) from error


class RayWorker:
    """A worker in an actor of Ray: the bundle is loaded once, and what goes wrong comes back as an error of ours."""

    def __init__(self, bundle: str, variant: str, threads: int, task: Task, seconds: float, chunk_rows: int) -> None:
        """Load the bundle, and open the input."""
        chunk.CHUNK_ROWS = chunk_rows
        self._seconds = seconds
        self._failed: PairliftError | None = None
        try:
            self._worker = Worker(Scorer.open(bundle, variant, threads), task)
        except PairliftError as error:
            self._failed = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do groups of chunks, and return the receipts of each."""
        return {RECEIPT: [self._run(list(group)) for group in batch[GROUP]]}

    def _run(self, group: Sequence[Descriptor]) -> list[Entry] | PairliftError:
        if self._failed is not None:
            return self._failed
        ended: list[list[Entry] | BaseException] = []
        came = threading.Semaphore(0)

        def work() -> None:
            entries = []
            try:
                for entry in self._worker.run(group):
                    entries.append(entry)
                    came.release()
                ended.append(entries)
            except BaseException as error:
                ended.append(error)
            came.release()

        threading.Thread(target=work, daemon=True).start()
        while not ended:
            if not came.acquire(timeout=self._seconds):
                return StorageError(
                    f"a chunk of the rows from {group[0].place.row} on took more than {self._seconds:g} s; what is done is kept: "
                    "allow more by --chunk-seconds, or see what holds it up"
                )
        found = ended[0]
        if isinstance(found, BaseException) and not isinstance(found, PairliftError):
            raise found
        return found


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
