"""Deaths: a process ends at one of the calls that leave a trace on the disk, and what its job has left there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

CALLS = ("fsync", "link", "rename", "unlink", "mkdir", "rmdir")


class DiesError(Exception):
    """Stands for a death."""


@contextlib.contextmanager
def death(at: int, calls: Sequence[str] = CALLS, when: Callable[[], bool] = lambda: True) -> Iterator[list[str]]:
    """Die at one of the calls that leave a trace: from there on none can be made; the error of it ends with the block.

    Args:
        at: The number of the call, from 1.
        calls: Those that are counted.
        when: Which of them are counted.

    Yields:
        A list, which is empty as long as the process lives.
    """
    count, died = 0, list[str]()

    def mortal(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if not died and name in calls and when():
                count += 1
                if count == at:
                    died.append(name)
            if died:
                raise DiesError
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, mortal(name, getattr(os, name)))
        try:
            yield died
        except DiesError:
            assert died
        else:
            assert not died, "a process that has died went on"


def job_folder(output: Path | str) -> Path:
    """Return the directory of a job of a local file."""
    return Path(f"{output}.job")


def find_receipts(output: Path | str) -> list[Path]:
    """Return the receipts of a local file's job, in order."""
    return sorted(job_folder(output).glob("*/*.json"))
