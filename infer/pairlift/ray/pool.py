"""The workers of a Ray job: actors with a few calls in flight each. If one dies, others take over its calls."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from pairlift.errors import Stopped, StorageError
from pairlift.inputs.plan import Descriptor
from pairlift.outputs.records import Receipt
from pairlift.ray.cluster import last_line
from pairlift.ray.feed import Feed
from pairlift.ray.worker import RayWorker

RETRIES = 3  # of a chunk at which a worker was lost
MOST_LOST = 10  # more given-up chunks than this end the job; until then the other chunks are done
AT_ONCE = 2  # calls in flight per worker, so that it need not wait for the next one
CALL_SECONDS = 1.0  # that a call should take: longer calls report progress late, and shorter ones cost the driver more
DRIVER_SECONDS = 0.006  # per worker: the driver needs about 3 ms per call, and should be idle half of the time
MOST_CHUNKS = 32  # per call
LOOK_SECONDS = 1.0  # between two checks for signals
DEATH_SECONDS = 10.0  # to wait for workers to end


@dataclasses.dataclass(slots=True)
class _Call:
    """A call to a worker: to do chunks, to plan a lot, or, with neither, to begin."""

    ref: Any
    chunks: list[Descriptor] = dataclasses.field(default_factory=list)
    lot: int | None = None


@dataclasses.dataclass(slots=True)
class _Actor:
    number: int
    handle: Any
    calls: deque[_Call] = dataclasses.field(default_factory=deque)
    begun: bool = False
    turn: int = 0
    since: float = 0.0  # when it began the first of its calls


class Pool:
    """Workers on Ray."""

    def __init__(self, made: tuple[Any, ...], workers: int, threads: int, feed: Feed, source: str) -> None:
        """Prepare for a job, without starting a worker.

        Args:
            made: The arguments of `RayWorker`.
            workers: The maximum number of workers.
            threads: Processors per worker.
            feed: The work for the workers.
            source: The first input's name.
        """
        import ray

        self.most = 0
        self._ray, self._made, self._workers, self._feed, self._source = ray, made, workers, feed, source
        self._class = ray.remote(num_cpus=threads, max_restarts=0, max_concurrency=AT_ONCE + 1)(RayWorker)
        self._numbers = itertools.count()
        self._actors: dict[int, _Actor] = {}
        self._stillborn = 0
        self._lost: list[Descriptor] = []
        self._died: BaseException | None = None
        self._seconds, self._chunks = 0.0, 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers, and wait until none can write any more."""
        with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):  # the cluster may be gone
            busy = [actor.handle for actor in self._actors.values() if actor.begun and actor.calls]
            ends = [handle.end.remote() for handle in busy]
            # Ray reports a killed worker before it has ended; a worker that ends itself has ended when its call fails.
            if ends:
                self._ray.wait(ends, num_returns=len(ends), timeout=DEATH_SECONDS, fetch_local=False)
            for actor in self._actors.values():
                self._ray.kill(actor.handle)

    def run(self, signals: Sequence[int]) -> Iterator[Receipt]:
        """Yield the receipts of all chunks as they arrive.

        Args:
            signals: The signals received so far.

        Raises:
            Stopped: A signal was received.
            StorageError: Workers died repeatedly.
            PairliftError: An error in a worker.
        """
        feed = self._feed
        while True:
            if self._plans_here() and len(feed.queue) < self._enough():
                feed.plan_here()
            self._begin_workers()
            self._hand_out()
            waiting = [actor for actor in self._actors.values() if actor.calls]
            if not waiting and feed.complete and not len(feed.queue):
                break
            ready = self._wait(waiting, 0.0 if self._plans_here() else LOOK_SECONDS)
            if signals:
                raise Stopped(signals[0])
            for actor in ready:
                yield from self._take(actor)
            if not ready and self._plans_here():
                feed.plan_here()
        if self._lost:
            raise self._describe_lost()

    def _plans_here(self) -> bool:
        return not self._feed.several and not self._feed.complete

    def _enough(self) -> int:
        """Return how many chunks should wait before planning pauses."""
        return 2 * AT_ONCE * self._workers * self._most_of_call(MOST_CHUNKS)

    def _most_of_call(self, bound: int) -> int:
        """Return how many chunks the next call has: as many as take about a second, and fewer when few are left."""
        seconds = max(CALL_SECONDS, DRIVER_SECONDS * self._workers)
        fitting = int(seconds * self._chunks / self._seconds) if self._seconds else 1
        return max(1, min(bound, MOST_CHUNKS, fitting))

    def _begin_workers(self) -> None:
        """Start as many workers as there is work for."""
        idle = sum(not actor.begun or not actor.calls for actor in self._actors.values())
        needed = self._feed.unplanned + self._feed.queue.free - idle
        for _ in range(min(needed, self._workers - len(self._actors))):
            actor = _Actor(next(self._numbers), self._class.remote(*self._made))
            actor.calls.append(_Call(actor.handle.begin.remote()))
            self._actors[actor.number] = actor
            self.most = max(self.most, len(self._actors))

    def _hand_out(self) -> None:
        """Give workers their next calls, beginning with the workers that have the fewest."""
        feed = self._feed
        scarce = feed.complete and len(feed.queue) <= len(self._actors)  # the first free workers get the last chunks
        for depth in range(1 if scarce else AT_ONCE):
            for actor in self._actors.values():
                if actor.begun and len(actor.calls) == depth and not self._give(actor) and not len(feed.queue):
                    return

    def _give(self, actor: _Actor) -> bool:
        feed = self._feed
        lot = feed.next_lot() if feed.several and len(feed.queue) < self._enough() else None
        if lot is not None:
            call = _Call(actor.handle.plan.remote(actor.turn, *lot), lot=lot[0])
        else:
            chunks = feed.queue.take(actor.number, self._most_of_call(len(feed.queue) // (AT_ONCE * self._workers)))
            if not chunks:
                return False
            call = _Call(actor.handle.run.remote(actor.turn, chunks), chunks=chunks)
        if not actor.calls:
            actor.since = time.monotonic()
        actor.calls.append(call)
        actor.turn += 1
        return True

    def _wait(self, waiting: list[_Actor], seconds: float) -> list[_Actor]:
        """Wait until workers have answered the first of their calls, and return those workers; none after `seconds`."""
        if not waiting:
            return []
        by_ref = {actor.calls[0].ref: actor for actor in waiting}
        refs = list(by_ref)
        ready, _ = self._ray.wait(refs, timeout=seconds)
        if ready and len(refs) > 1:
            ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [by_ref[ref] for ref in ready]

    def _take(self, actor: _Actor) -> Iterator[Receipt]:
        """Take a worker's answer."""
        try:
            found = self._ray.get(actor.calls[0].ref)
        except self._ray.exceptions.RayError as error:
            self._bury(actor, error)
            return
        call, now = actor.calls.popleft(), time.monotonic()
        failed = found.pop() if found and isinstance(found[-1], BaseException) else None
        if call.lot is not None and failed is None:
            last = found[-1:] == [None]
            self._feed.add(call.lot, found[: len(found) - last], last)
        elif call.chunks:
            self._seconds += now - actor.since
            self._chunks += len(call.chunks)
            yield from found
        else:
            actor.begun, self._stillborn = True, 0
        actor.since = now
        if failed is not None:
            raise failed

    def _bury(self, actor: _Actor, error: BaseException) -> None:
        """Give a dead worker's calls to others. It died at its first call, so only that one counts as a failure."""
        del self._actors[actor.number]
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)  # in case Ray only lost contact with it
        self._died = error
        feed, blamed = self._feed, actor.calls.popleft()
        feed.queue.release(actor.number)
        for call in actor.calls:
            if call.lot is not None:
                feed.put_back(call.lot)
            feed.queue.put_back(call.chunks)
        if blamed.lot is not None and feed.fail(blamed.lot) > RETRIES:
            raise StorageError(
                f"{self._source}: the chunks cannot be planned: workers died or were lost {RETRIES + 1} times ({last_line(error)}); "
                "what is done is kept: run the same command again"
            ) from error
        if blamed.lot is None and not blamed.chunks:
            self._stillborn += 1
            if self._stillborn > RETRIES * self._workers:
                raise StorageError(
                    f"{self._source}: no worker can start ({last_line(error)}); check that each machine has pairlift and enough memory"
                ) from error
        self._blame(blamed.chunks)

    def _blame(self, chunks: list[Descriptor]) -> None:
        failures = self._feed.queue.failures
        failures.update(chunk.key for chunk in chunks)
        self._lost += [chunk for chunk in chunks if failures[chunk.key] > RETRIES]
        self._feed.queue.put_back(chunk for chunk in chunks if failures[chunk.key] <= RETRIES)
        if len(self._lost) > MOST_LOST:
            raise self._describe_lost()

    def _describe_lost(self) -> StorageError:
        first = min(self._lost, key=lambda chunk: chunk.key).spans[0]
        others = f" and {len(self._lost) - 1} others" if len(self._lost) > 1 else ""
        why = f" ({last_line(self._died)})" if self._died else ""
        return StorageError(
            f"{first.input}: the chunk of row {first.place.row}{others} cannot be scored: workers died or were lost {RETRIES + 1} times "
            f"at one{why}; what is done is kept: run the same command again, or find out why these rows end a worker (often memory)"
        )
