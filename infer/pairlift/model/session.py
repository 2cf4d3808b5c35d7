"""An onnxruntime session for the runner: no telemetry, a fixed number of threads, the fast kernels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pairlift.errors import BundleError, first_line

# onnxruntime 1.29 and later write telemetry to a database under the home directory unless this is set first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Their CPU kernels are slower than the plain operators they replace (docs/performance.md).
SLOW_FUSIONS = ["SkipLayerNormFusion", "EmbedLayerNormFusion"]
ERRORS_ONLY = 3
CGROUP_LIMITS = (Path("/sys/fs/cgroup/cpu.max"),)


class Session(Protocol):
    """The part of an onnxruntime session that the runner uses."""

    def run(self, output_names: list[str], feeds: Mapping[str, NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """Return the outputs."""
        ...


def open_session(model: bytes, where: str) -> Session:
    """Load a graph from bytes that have been verified.

    A session runs each batch on one thread. Batches run in parallel instead, which is faster and makes the results
    independent of the number of threads.

    Raises:
        BundleError: onnxruntime cannot load the graph.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        session: Any = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
        )
    except Exception as error:
        raise BundleError(
            f"{where}: onnxruntime {onnxruntime.__version__} cannot load the graph: {first_line(error)}"
        ) from error
    loaded: Session = session
    return loaded


def count_threads() -> int:
    """Return how many threads can run at once: what the CPU affinity allows, or the cgroup's quota if that is less."""
    allowed = len(os.sched_getaffinity(0))
    for limit in CGROUP_LIMITS:
        try:
            quota, period = limit.read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            allowed = min(allowed, max(1, -(-int(quota) // int(period))))
    return allowed
