"""A worker in an actor of Ray: the bundle is loaded once; receipts go back, and what goes wrong goes back as an error of ours."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from pairlift import chunk
from pairlift.errors import BundleError, ChangedError, PairliftError, StorageError
from pairlift.golden import FIRST_ROWS, replay
from pairlift.identity import read_runtime
from pairlift.journal import Entry
from pairlift.plan import Descriptor
from pairlift.scorer import Scorer
from pairlift.staging import storage_errors
from pairlift.worker import Task, Worker

RECEIPT = "receipt"
GROUP = "group"


class RayWorker:
    """Does the groups of chunks that come to one actor."""

    def __init__(
        self, bundle: str, digest: str, variant: str, threads: int, task: Task, seconds: float, chunk_rows: int
    ) -> None:
        """Load the bundle, and open the input.

        Args:
            bundle: A directory that this machine sees, or `s3://…`.
            digest: Of the bundle that the job began with.
            variant: The variant.
            threads: Batches computed at once.
            task: The job.
            seconds: How long a chunk may take.
            chunk_rows: Rows of a chunk.
        """
        chunk.CHUNK_ROWS = chunk_rows
        self._seconds, self._source = seconds, task.leaders[0].name
        self._failed: PairliftError | None = None
        try:
            with storage_errors(task.leaders[0].name):
                scorer = Scorer.open(bundle, variant, threads)
                _check_machine(scorer, digest, task)
                self._worker = Worker(scorer, task)
        except PairliftError as error:
            self._failed = error

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Do groups of chunks, and yield a receipt for each chunk, or an error."""
        for group in batch[GROUP]:
            for receipt in [self._failed] if self._failed else self._run(list(group)):
                yield {RECEIPT: [receipt]}

    def _run(self, group: Sequence[Descriptor]) -> Iterator[Entry | Exception]:
        came: queue.SimpleQueue[Entry | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                with storage_errors(self._source):
                    for entry in self._worker.run(group):
                        came.put(entry)
                came.put(None)
            except PairliftError as error:
                came.put(error)
            except BaseException:
                came.put(RuntimeError(f"in a worker:\n{traceback.format_exc()}"))

        threading.Thread(target=work, daemon=True).start()
        first = group[0].first
        while True:
            try:
                found = came.get(timeout=self._seconds)
            except queue.Empty:
                # What hangs may hang for ever, and holds the input's reader: nothing more can be done here.
                self._failed = StorageError(
                    f"{self._source}: the chunk of row {first} took more than {self._seconds:g} s; what is done is kept: allow more "
                    "by --chunk-seconds, or see what holds it up, and run the same command again"
                )
                found = self._failed
            if found is None:
                return
            if isinstance(found, Exception):
                yield found
                return
            first = found.first + found.tally.rows
            yield found


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
