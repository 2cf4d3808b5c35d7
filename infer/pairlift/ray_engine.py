"""The Ray engine: a job's chunks on the machines of a cluster; descriptors go there, and receipts come back."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter

from pairlift.durable_plan import open_plan
from pairlift.errors import Stopped, StorageError, UsageError
from pairlift.formats import STREAM
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.records import LastRun
from pairlift.plan import explain_plan
from pairlift.ray_cluster import FREE_CPUS, connected
from pairlift.ray_pool import Pool
from pairlift.scorer import Scorer
from pairlift.sharing import describe_task, locate
from pairlift.signals import noted_signals
from pairlift.source import Source
from pairlift.terms import RUN_AGAIN, Terms, measure_run

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

    def run(self, scorer: Scorer, opened: Source, ledger: Ledger, terms: Terms) -> LastRun:
        """Do the chunks that are not done; as `run_here`.

        Raises:
            UsageError: The extra is not installed, the cluster is too small, or the input is standard input.
            StorageError: A worker was lost again and again, or took too long.
        """
        opened.check_headers()
        resumed, rejected = ledger.tally.rows, Counter(ledger.tally.rejected)
        for receipt in ledger.receipts.values():
            terms.tell(receipt.tally, rejected, None, resumed=True)
        inputs = tuple(dataclasses.replace(each, name=locate(each.name)) for each in opened.inputs)
        plan = open_plan(ledger.keeper, inputs, opened.found, opened.options.chunk_rows)
        with connected(self.address, self.dashboard) as processors, noted_signals() as signals:
            workers = _count_workers(self, processors, opened)
            started, threads = time.monotonic(), workers * self.threads
            made = (
                locate(scorer.bundle.path), scorer.bundle.digest, scorer.variant, self.threads, describe_task(opened, ledger), plan,
                self.seconds,
            )  # fmt: skip
            try:
                with Pool(made, workers, self.threads, plan, opened) as pool:
                    for receipt in pool.run(lambda chunk: ledger.covers(chunk.key, chunk.rows), signals):
                        ledger.note(receipt)
                        rejected.update(receipt.tally.rejected)
                        terms.tell(receipt.tally, rejected, pool.total)
                        terms.check_rejects(ledger.tally, final=False, kept=True)
            except Stopped as error:
                raise Stopped(error.number, f"{ledger.tally.rows} rows are done; {RUN_AGAIN}") from None
        if ledger.tally.rows != pool.planned:
            raise StorageError(
                f"{opened.name}: {ledger.tally.rows} of {pool.planned} rows came back from the cluster; run the same command again"
            )
        advice = explain_plan(list(pool.lasts.values()))
        if advice:
            log.warning(advice)
        terms.check_rejects(ledger.tally, final=True, kept=True)
        return measure_run(threads, resumed, ledger.tally.rows - resumed, started)


def check_ends(source: str, output: str) -> None:
    """Refuse standard input and standard output; a `UsageError`."""
    if source == STREAM:
        raise UsageError(
            "--engine ray: standard input can only be read once, so it cannot be split between workers; give a file or an s3:// object"
        )
    if output == STREAM:
        raise UsageError(
            "--engine ray: workers write the output in parts, so it cannot go to standard output; give a file, a directory/ or an "
            "s3:// object"
        )


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
