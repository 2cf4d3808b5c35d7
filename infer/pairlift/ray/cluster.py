"""The connection to Ray: a cluster that the user names, or a Ray of our own on this machine."""

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

# Ray asks for a processor of its own for each thing that it runs: with all of them taken by workers, nothing feeds these.
FREE_CPUS = 1
OBJECT_STORE_BYTES = 100 << 20  # of a Ray of our own: receipts take a kilobyte each
ANSWER_SECONDS = 10.0  # for a cluster to be found; Ray itself asks for a minute and more
LOCAL = "local"
ADDRESS = re.compile(r"(?:ray://)?\[?(?P<host>[^\[\]]+)\]?:(?P<port>\d{1,5})")


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[int]:
    """Be connected to Ray, and yield how many processors it has.

    Args:
        address: Of a cluster; None for RAY_ADDRESS, or else a Ray of our own.

    Raises:
        UsageError: The extra is not installed, or there is no Ray at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what is wrong comes back as an error
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
            f"--engine ray: no Ray at {where} ({last_line(error)}); start it, or mend RAY_ADDRESS"
        ) from error


def _look_for(address: str) -> None:
    """See that somebody listens at an address, if it is one; an `OSError`."""
    found = ADDRESS.fullmatch(address)
    if found:
        socket.create_connection((found["host"], int(found["port"])), ANSWER_SECONDS).close()


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Keep what happens at a signal, of which Ray would have its own way."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Lose what the process says on standard error: Ray's core speaks there, from below Python, before it has its log."""
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
    """Leave what Ray has to say to its own logs."""
    # Ray prints each death of a worker to standard output, and has no option for that.
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
    """Return the last line of an error of Ray's, which is where it says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" Some common causes")[0][:200] if lines else type(error).__name__
