"""A worker in an actor of Ray: the bundle is loaded once; receipts go back, and what goes wrong goes back as an error of ours."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pairlift.durable_plan import DurablePlan
from pairlift.errors import BundleError, ChangedError, PairliftError, StorageError
from pairlift.golden import FIRST_ROWS, replay
from pairlift.options import read_runtime
from pairlift.outputs.records import Receipt
from pairlift.plan import Descriptor
from pairlift.scorer import Scorer
from pairlift.staging import storage_errors
from pairlift.worker import Task, Worker


class RayWorker:
    """Does the groups of chunks that come to one actor."""

    def __init__(
        self, bundle: str, digest: str, variant: str, threads: int, task: Task, plan: DurablePlan, seconds: float
    ) -> None:
        """Load the bundle, and open the input.

        Args:
            bundle: A directory that this machine sees, or `s3://…`.
            digest: Of the bundle that the job began with.
            variant: The variant.
            threads: Batches computed at once.
            task: The job.
            plan: The job's plan.
            seconds: How long a chunk may take.
        """
        self._seconds, self._source, self._plan = seconds, task.leaders[0].name, plan
        self._failed: PairliftError | None = None
        try:
            with storage_errors(self._source):
                scorer = Scorer.open(bundle, variant, threads)
                _check_machine(scorer, digest, task)
                self._worker = Worker(scorer, task)
        except PairliftError as error:
            self._failed = error

    def plan(self, lot: int) -> list[Any]:
        """Return the chunks of a lot; as the last of them an error, if there is one."""
        return self._collect(lambda: self._plan.each(lot), f"the plan of lot {lot}")

    def run(self, group: Sequence[Descriptor]) -> list[Any]:
        """Do chunks, and return the receipts; as the last of them an error, if there is one."""

        def each() -> Iterable[Receipt]:
            for descriptor in group:
                yield from self._worker.run(descriptor)

        return self._collect(each, f"the chunk of row {group[0].row}")

    def _collect(self, work: Callable[[], Iterable[Any]], what: str) -> list[Any]:
        if self._failed is not None:
            return [self._failed]
        came: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def carry_out() -> None:
            try:
                with storage_errors(self._source):
                    for found in work():
                        came.put(found)
                came.put(None)
            except PairliftError as error:
                came.put(error)
            except BaseException:
                came.put(RuntimeError(f"in a worker:\n{traceback.format_exc()}"))

        threading.Thread(target=carry_out, daemon=True).start()
        found: list[Any] = []
        while True:
            try:
                found.append(came.get(timeout=self._seconds))
            except queue.Empty:
                # What hangs may hang for ever, and holds the input's reader: nothing more can be done here.
                after = f" after {len(found)} others" if found else ""
                self._failed = StorageError(
                    f"{self._source}: {what}{after} took more than {self._seconds:g} s; what is done is kept: allow more by "
                    "--chunk-seconds, or see what holds it up, and run the same command again"
                )
                found.append(self._failed)
            if found[-1] is None:
                return found[:-1]
            if isinstance(found[-1], Exception):
                return found


def _check_machine(scorer: Scorer, digest: str, task: Task) -> None:
    """See that this machine scores as the one does where the job began."""
    if scorer.bundle.digest != digest:
        raise BundleError(
            f"{scorer.bundle.path}: a worker has another bundle of that name (digest {scorer.bundle.digest[:12]}, expected "
            f"{digest[:12]}); have the same one on each machine"
        )
    found = read_runtime(task.found, task.written)
    for name, version in task.runtime.items():
        if name != "cpu" and found.get(name) != version:
            raise ChangedError(
                f"a worker has {name} {found.get(name)}, and the job began with {version}; install the same on each machine"
            )
    replay(scorer, FIRST_ROWS)
