"""The connection to Ray: a cluster that the user names, or a Ray that pairlift starts on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pairlift.errors import UsageError, missing_extra
from pairlift.model.session import count_threads

# Ray reserves a processor for each task that it runs. If workers had all processors, nothing could feed the workers.
FREE_CPUS = 1
OBJECT_STORE_BYTES = 100 << 20  # of a Ray that pairlift starts: receipts take a kilobyte each
ANSWER_SECONDS = 10.0  # to find a cluster; Ray itself tries for more than a minute
LOCAL = "local"
ADDRESS = re.compile(r"(?:ray://)?\[?(?P<host>[^\[\]]+)\]?:(?P<port>\d{1,5})")


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[int]:
    """Connect to Ray, and yield the number of its processors.

    Args:
        address: The address of a cluster. None for RAY_ADDRESS, or, if that is not set, for a Ray that pairlift starts.

    Raises:
        UsageError: The extra is not installed, or there is no Ray at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # failures are raised as errors anyway
    try:
        import ray
    except ModuleNotFoundError:
        raise missing_extra("--engine ray", "ray") from None
    ours = not ray.is_initialized()
    try:
        if ours:
            _init(ray, address or os.environ.get("RAY_ADDRESS") or LOCAL)
        with _quiet(ray) if ours else contextlib.nullcontext():
            yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        if ours:
            ray.shutdown()


def _init(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {
            "num_cpus": count_threads() + FREE_CPUS,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        _look_for(address)
        with _kept_signals(), _silent_stderr():
            ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        where = "this machine" if address == LOCAL else address
        raise UsageError(
            f"--engine ray: no Ray at {where} ({last_line(error)}); start it, or correct RAY_ADDRESS"
        ) from error


def _look_for(address: str) -> None:
    """Raise an `OSError` if the address is a host and port at which nothing listens."""
    found = ADDRESS.fullmatch(address)
    if found:
        socket.create_connection((found["host"], int(found["port"])), ANSWER_SECONDS).close()


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Restore the signal handlers at the end, because Ray installs its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard standard error. Until Ray's core has opened its log, it writes there from native code."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray's messages off the console; they are in Ray's own logs."""
    # Ray prints each death of a worker to standard output, and has no option to turn this off.
    worker = ray._private.worker
    shown, worker._worker_logs_enabled = getattr(worker, "_worker_logs_enabled", True), False
    handlers = logging.getLogger("ray").handlers
    consoles = {handler: handler.level for handler in handlers if isinstance(handler, logging.StreamHandler)}
    for handler in consoles:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        worker._worker_logs_enabled = shown
        for handler, level in consoles.items():
            handler.setLevel(level)


def last_line(error: BaseException) -> str:
    """Return the last line of one of Ray's errors, which says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" Some common causes")[0][:200] if lines else type(error).__name__
