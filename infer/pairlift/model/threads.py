"""The threads on which a scorer computes its batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from pairlift.errors import UsageError


class Threads:
    """Threads that run until they are closed. A forked child starts its own, because it inherits none."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="pairlift")
        self._process = os.getpid()

    def check_open(self) -> None:
        """Raise a `UsageError` once the threads are closed."""
        if self._closed:
            raise UsageError("this scorer is closed; open another one")

    def submit(self, run: Callable[..., None], *arguments: Any) -> Future[None]:
        """Run a function on one of the threads.

        Raises:
            UsageError: The threads are closed.
        """
        self.check_open()
        if self._process != os.getpid():
            self._begin()
        try:
            return self._pool.submit(run, *arguments)
        except RuntimeError:
            self.check_open()  # another thread has just closed them
            raise

    def wait(self, futures: list[Future[None]]) -> None:
        """Wait for futures. The first error is raised, and cancels the futures that have not begun.

        Raises:
            UsageError: The threads were closed meanwhile.
        """
        try:
            for future in futures:
                future.result()
        except CancelledError:
            self.check_open()
            raise
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def close(self) -> None:
        """End the threads, and cancel what has not begun."""
        self._closed = True
        if self._process == os.getpid():
            self._pool.shutdown(cancel_futures=True)
