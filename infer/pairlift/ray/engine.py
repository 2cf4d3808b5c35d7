"""The Ray engine: scores a job's chunks on a cluster. It sends descriptors to workers, which return receipts."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

from pairlift.errors import Stopped, StorageError, UsageError
from pairlift.inputs.source import Source
from pairlift.jobs.durable_plan import open_plan
from pairlift.jobs.sharing import describe_task, locate
from pairlift.jobs.terms import RUN_AGAIN, Terms, measure_run
from pairlift.model.scorer import Scorer
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.records import LastRun
from pairlift.ray.cluster import FREE_CPUS, connected
from pairlift.ray.feed import Feed
from pairlift.ray.pool import Pool
from pairlift.signals import noted_signals
from pairlift.storage.open import STREAM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How a job runs on Ray.

    Attributes:
        address: The cluster (`ray://…` or an address that `ray.init` accepts). None for RAY_ADDRESS, or, if that is not
            set, for a Ray that pairlift starts.
        threads: Threads per worker.
        workers: The maximum number of workers; None for as many as the processors allow.
        seconds: How long a chunk may take.
    """

    address: str | None = None
    threads: int = 1
    workers: int | None = None
    seconds: float = 600.0

    def run(self, scorer: Scorer, opened: Source, ledger: Ledger, terms: Terms) -> LastRun:
        """Score the chunks that are not done yet; see `run_here`.

        Raises:
            UsageError: The extra is not installed, the cluster is too small, or the input is standard input.
            StorageError: Workers were lost repeatedly, or a chunk took too long.
        """
        opened.check_headers()
        resumed, rejected = ledger.tally.rows, Counter[str]()
        inputs = tuple(dataclasses.replace(each, name=locate(each.name)) for each in opened.inputs)
        plan = open_plan(ledger.keeper, inputs, opened.found, opened.options.chunk_rows)
        feed = Feed(plan, opened, lambda chunk: ledger.covers(chunk.key, chunk.rows))
        while not feed.several and not feed.complete and not len(feed.queue):
            feed.plan_here()
        for receipt in ledger.receipts.values():
            rejected.update(receipt.tally.rejected)
            terms.tell(receipt.tally, rejected, feed.total, resumed=True)
        started, threads = time.monotonic(), self.threads
        if len(feed.queue) or not feed.complete:
            with connected(self.address) as processors, noted_signals() as signals:
                started = time.monotonic()
                pool = self._make_pool(scorer, opened, ledger, feed, _count_workers(self, processors))
                try:
                    with pool:
                        for receipt in pool.run(signals):
                            ledger.note(receipt)
                            rejected.update(receipt.tally.rejected)
                            terms.tell(receipt.tally, rejected, feed.total)
                            terms.check_rejects(ledger.tally, final=False, kept=True)
                except Stopped as error:
                    ledger.update()  # add chunks that workers finished, but did not report
                    raise Stopped(error.number, f"{ledger.tally.rows} rows are done; {RUN_AGAIN}") from None
                threads = pool.most * self.threads
        if ledger.tally.rows != feed.planned:
            raise StorageError(
                f"{opened.name}: {ledger.tally.rows} of {feed.planned} rows came back from the cluster; run the same command again"
            )
        terms.check_rejects(ledger.tally, final=True, kept=True)
        return measure_run(threads, resumed, ledger.tally.rows - resumed, started)

    def _make_pool(self, scorer: Scorer, opened: Source, ledger: Ledger, feed: Feed, workers: int) -> Pool:
        import ray

        task, plan = describe_task(opened, ledger), None
        if feed.several:  # it may have many inputs, so send it to each machine only once
            inputs = tuple(dataclasses.replace(each, name=locate(each.name)) for each in opened.inputs)
            plan = ray.put(open_plan(ledger.keeper, inputs, opened.found, opened.options.chunk_rows))
        bundle = scorer.bundle
        made = (locate(bundle.path), bundle.digest, scorer.variant, self.threads, task, plan, self.seconds)
        return Pool(made, workers, self.threads, feed, opened.name)


def check_ends(source: str, output: str) -> None:
    """Raise a `UsageError` for standard input and standard output."""
    if source == STREAM:
        raise UsageError(
            "--engine ray: standard input can only be read once, so it cannot be split between workers; give a file or an s3:// object"
        )
    if output == STREAM:
        raise UsageError(
            "--engine ray: workers write the output in parts, so it cannot go to standard output; give a file, a directory/ or an "
            "s3:// object"
        )


def _count_workers(cluster: Cluster, processors: int) -> int:
    room = (processors - FREE_CPUS) // cluster.threads
    asked = cluster.workers or room
    if asked < 1 or asked > room:
        raise UsageError(
            f"--engine ray: the cluster has {processors} processors, expected at least "
            f"{max(1, asked) * cluster.threads + FREE_CPUS} for {max(1, asked)} workers of {cluster.threads} threads "
            "and one for Ray itself; add machines, or lower --workers or --threads"
        )
    return asked
