"""Faults that were fixed once, put back: the simulation has to find each of them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pairlift.errors import InputError
from pairlift.formats import failures
from pairlift.outputs import jobs, ledger, output

from simulation.schedule import play

Patch = Callable[[pytest.MonkeyPatch], None]


def _discard_at_once(patch: pytest.MonkeyPatch) -> None:
    """A job that cannot come to an end removes its parts without a verdict."""
    patch.setattr(ledger, "abandon", lambda *job: jobs.Fate.DEAD)


def _no_marks(patch: pytest.MonkeyPatch) -> None:
    """Nothing in the name of a part or a receipt says which job it is of."""
    patch.setattr(output, "draw_mark", lambda: "0" * 12)


def _no_digests(patch: pytest.MonkeyPatch) -> None:
    """Parts are not held to their digests."""

    def open_each(self: Any, which: Any, name_of: Any) -> Iterator[Any]:
        import io

        for receipt in self._ordered():
            if which(receipt):
                yield io.BytesIO(self._store.read(name_of(self.job.mark, receipt.key)) or b"")

    patch.setattr(ledger.Ledger, "_open", open_each)
    patch.setattr(ledger.Ledger, "_find_altered", lambda self, receipts: [])


def _restart_at_once(patch: pytest.MonkeyPatch) -> None:
    """`--restart` removes the parts of a job that may be about to commit."""
    patch.setattr(output, "abandon", lambda *job: jobs.Fate.DEAD)


def _no_passing_errors(patch: pytest.MonkeyPatch) -> None:
    """An input that cannot be read for once counts as damaged."""
    patch.setattr(failures, "InputError", lambda text, passing=False: InputError(text))


REVERTED: dict[str, Patch] = {
    "1 a process that comes second destroys a committed output": _discard_at_once,
    "2 two models under one manifest": _no_marks,
    "3 parts are not held to their digests": _no_digests,
    "4 --restart beside a process that is finishing": _restart_at_once,
    "5 one storage error throws away what is done": _no_passing_errors,
}


def count_until_found(fault: str, most: int, first: int = 0) -> tuple[int, str] | None:
    """Return how many schedules it takes until a fault that is put back is found, and as what; None if it is not."""
    with pytest.MonkeyPatch.context() as patch:
        REVERTED[fault](patch)
        for seed in range(first, first + most):
            failure = play(seed, Counter())
            if failure is not None:
                return seed - first + 1, failure.what
    return None


@contextlib.contextmanager
def put_back(fault: str) -> Iterator[None]:
    """Put a fault back for a while."""
    with pytest.MonkeyPatch.context() as patch:
        REVERTED[fault](patch)
        yield
