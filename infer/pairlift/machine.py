"""Describe the machine: processor, memory, and the build of onnxruntime."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

# The instruction sets that determine which kernels onnxruntime and TensorFlow choose.
KERNEL_FLAGS = (
    "sse4_1", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip


def read_cpu() -> str:
    """Return the processor's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def read_cpu_flags() -> tuple[str, ...]:
    """Return the processor's instruction sets that determine the choice of matrix kernels."""
    found = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return tuple(flag for flag in KERNEL_FLAGS if flag in found)


def read_peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, including libraries."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read_onnxruntime_build() -> str:
    """Return onnxruntime's description of its build."""
    import onnxruntime

    return str(onnxruntime.get_build_info())


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
