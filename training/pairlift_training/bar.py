"""The progress bar of an epoch: pairs a second, loss and accuracy, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from pairlift_training.network import Sums
from tqdm import tqdm

SECONDS = 1.0  # between two readings of the sums, each of which waits for the device


class Bar:
    """The progress bar and the messages of a training.

    Args:
        rows: The number of rows in an epoch.
        read: Returns the sums since they were last cleared.
        quiet: Whether to show nothing at all.
    """

    def __init__(self, rows: int, read: Callable[[], Sums], quiet: bool) -> None:
        self._rows, self._read, self._quiet = rows, read, quiet
        self._bar: Any = None
        self._looked = 0.0

    def begin(self, epoch: int, done: int) -> None:
        """Show the bar of an epoch, of which `done` rows are done already."""
        self.end()
        self._bar = tqdm(
            total=self._rows, initial=done, desc=f"epoch {epoch}", unit=" pairs", leave=False,
            disable=True if self._quiet else None,
        )  # fmt: skip

    def advance(self, rows: int) -> None:
        """Advance the bar; update the loss and the accuracy at most once a second."""
        self._bar.update(rows)
        if not self._bar.disable and time.monotonic() - self._looked > SECONDS:
            self._looked = time.monotonic()
            sums = self._read()
            if sums.rows:
                self._bar.set_postfix(loss=f"{sums.loss / sums.rows:.4f}", accuracy=f"{sums.correct / sums.rows:.4f}")

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        if not self._quiet:
            tqdm.write(line, file=sys.stderr)
