"""A worker in a Ray actor. It loads the bundle once, and returns receipts, or a `PairliftError` if something fails."""

from __future__ import annotations

import itertools
import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pairlift.errors import BundleError, ChangedError, PairliftError, StorageError
from pairlift.inputs.plan import Descriptor
from pairlift.jobs.durable_plan import DurablePlan
from pairlift.jobs.identify import read_runtime
from pairlift.jobs.worker import Task, Worker
from pairlift.model.golden import FIRST_ROWS, replay
from pairlift.model.scorer import Scorer
from pairlift.outputs.records import Receipt
from pairlift.ray.feed import PLAN_CHUNKS
from pairlift.storage.staging import storage_errors

END = object()  # marks the end of the results


class RayWorker:
    """Carries out the calls to one actor one by one, in order, except `end`, which takes effect at once."""

    def __init__(
        self, bundle: str, digest: str, variant: str, threads: int, task: Task, plan: DurablePlan | None, seconds: float
    ) -> None:
        """Load the bundle, and open the input.

        Args:
            bundle: A directory that this machine can read, or `s3://…`.
            digest: The digest of the bundle with which the job began.
            variant: The variant.
            threads: Batches computed at once.
            task: The job.
            plan: The job's plan, if the workers make it; otherwise None.
            seconds: How long a chunk may take.
        """
        self._seconds, self._source, self._plan = seconds, task.leaders[0].name, plan
        self._planned: tuple[int, int, Iterator[Descriptor]] | None = None
        self._at = ""
        self._turn, self._turns = 0, threading.Condition()
        self._failed: PairliftError | None = None
        try:
            with storage_errors(self._source):
                scorer = Scorer.open(bundle, variant, threads)
                _check_machine(scorer, digest, task)
                self._worker = Worker(scorer, task)
        except PairliftError as error:
            self._failed = error

    def begin(self) -> list[Any]:
        """Return an empty list if the worker can begin, or else a list with the error."""
        return [self._failed] if self._failed else []

    def end(self) -> None:
        """End the process, whatever it is doing."""
        os._exit(0)

    def plan(self, turn: int, lot: int, given: int) -> list[Any]:
        """Return the next chunks of a lot, and None after the last. If there is an error, it is the last item.

        Args:
            turn: The number of the call, from 0.
            lot: The lot's number.
            given: How many of its chunks are known already.
        """
        return self._collect(turn, lambda: self._plan_next(lot, given))

    def run(self, turn: int, group: Sequence[Descriptor]) -> list[Any]:
        """Score chunks, and return the receipts. If there is an error, it is the last item.

        Args:
            turn: The number of the call, from 0.
            group: The chunks.
        """
        return self._collect(turn, lambda: self._run_each(group))

    def _plan_next(self, lot: int, given: int) -> Iterator[Descriptor | None]:
        assert self._plan is not None
        self._at = f"{self._source}: planning the chunks"
        before, self._planned = self._planned, None
        same = before is not None and before[:2] == (lot, given)
        chunks = before[2] if before and same else itertools.islice(self._plan.each(lot), given, None)
        count = 0
        for chunk in itertools.islice(chunks, PLAN_CHUNKS):
            count += 1
            yield chunk
        if count < PLAN_CHUNKS:
            yield None
        else:
            self._planned = lot, given + count, chunks

    def _run_each(self, group: Sequence[Descriptor]) -> Iterator[Receipt]:
        for descriptor in group:
            done = 0
            self._at = _describe_row(descriptor, done)
            for receipt in self._worker.run(descriptor):
                done += receipt.tally.rows
                self._at = _describe_row(descriptor, done)
                yield receipt

    def _collect(self, turn: int, work: Callable[[], Iterable[Any]]) -> list[Any]:
        with self._turns:
            self._turns.wait_for(lambda: self._turn == turn)
        try:
            return self._carry_out(work)
        finally:
            with self._turns:
                self._turn += 1
                self._turns.notify_all()

    def _carry_out(self, work: Callable[[], Iterable[Any]]) -> list[Any]:
        if self._failed is not None:
            return [self._failed]
        came: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def carry_out() -> None:
            try:
                with storage_errors(self._source):
                    for found in work():
                        came.put(found)
                came.put(END)
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
                # The thread may hang for ever, and it holds the input's reader, so this worker cannot do any more.
                self._failed = StorageError(
                    f"{self._at} took more than {self._seconds:g} s; what is done is kept: raise --chunk-seconds, or find out what "
                    "delays it, and run the same command again"
                )
                return [*found, self._failed]
            if found[-1] is END:
                return found[:-1]
            if isinstance(found[-1], Exception):
                return found


def _describe_row(descriptor: Descriptor, done: int) -> str:
    """Return the name of the chunk that begins `done` rows after a descriptor."""
    span = descriptor.spans[0]
    for span in descriptor.spans:
        if done < span.rows:
            break
        done -= span.rows
    return f"{span.input}: the chunk of row {span.place.row + done}"


def _check_machine(scorer: Scorer, digest: str, task: Task) -> None:
    """Check that this machine scores like the one on which the job began."""
    if scorer.bundle.digest != digest:
        raise BundleError(
            f"{scorer.bundle.path}: a worker has a different bundle there (digest {scorer.bundle.digest[:12]}, expected "
            f"{digest[:12]}); put the same bundle on each machine"
        )
    found = read_runtime(task.found, task.written)
    for name, version in task.runtime.items():
        if name != "cpu" and found.get(name) != version:
            raise ChangedError(
                f"a worker has {name} {found.get(name)}, but the job began with {version}; install the same version on each machine"
            )
    replay(scorer, FIRST_ROWS)
