"""The target: the processor and the Python that a function runs on, and which wheels load there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

from pairlift.errors import UsageError

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
# The versions that pairlift supports; an image is based on the official Python image of one of them.
PYTHONS = ("3.11", "3.12", "3.13")
# Lambda's own runtimes whose C library is new enough. python3.11 is Amazon Linux 2 with glibc 2.26, but the wheels of
# onnxruntime and numpy need 2.28 and 2.27. python3.12 and later are Amazon Linux 2023 with glibc 2.34.
RUNTIMES = ("3.12", "3.13")
GLIBC_MINOR = 34
OLDEST_GLIBC_MINOR = 17


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a function runs on.

    Attributes:
        architecture: As Lambda spells it: `x86_64` or `arm64`.
        python: Major and minor version: `3.12`.
        interpreter: A Python of that version on this machine; it compiles the byte-code.
    """

    architecture: str
    python: str
    interpreter: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags of wheels that load there, the newest C library first."""
        machine = MACHINES[self.architecture]
        minors = range(GLIBC_MINOR, OLDEST_GLIBC_MINOR - 1, -1)
        return (*(f"manylinux_2_{minor}_{machine}" for minor in minors), f"manylinux2014_{machine}")


def find_target(architecture: str, interpreter: str | None, in_lambda: bool) -> Target:
    """Return the target for an architecture and the version of an interpreter.

    Args:
        architecture: `x86_64` or `arm64`.
        interpreter: The path or command of a Python; None for the running one.
        in_lambda: Whether the function runs on one of Lambda's own runtimes (a zip), not in an image.

    Raises:
        UsageError: The interpreter does not run, or its version is not supported.
    """
    command = interpreter or sys.executable
    python = _ask_version(command)
    if python not in PYTHONS:
        raise UsageError(f"{command} is Python {python}, expected {_list(PYTHONS)}; name another with --python")
    if in_lambda and python not in RUNTIMES:
        raise UsageError(
            f"{command} is Python {python}, expected {_list(RUNTIMES)} for a zip (Lambda's python{python} has glibc 2.26, "
            f"onnxruntime needs 2.28): add --python python{RUNTIMES[-1]}, or build an image with --image DIR alone"
        )
    return Target(architecture=architecture, python=python, interpreter=command)


def _ask_version(command: str) -> str:
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    try:
        asked = subprocess.run([command, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UsageError(f"--python: {command} does not run as a Python; install it, or give its path") from None
    return asked.stdout.strip()


def _list(versions: tuple[str, ...]) -> str:
    return ", ".join(versions[:-1]) + f" or {versions[-1]}"
