"""A worker: does chunks of a job by their descriptors, wherever it runs, and says what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import score_chunks
from pairlift.destination import Keeper
from pairlift.errors import ChangedError, InputError
from pairlift.formats import Format
from pairlift.journal import Entry
from pairlift.plan import Descriptor, read_from, take_planned
from pairlift.scorer import Scorer
from pairlift.source import Source, open_source
from pairlift.storage import Stamp, read_stamp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a worker must know of a job; can be sent to another process.

    Attributes:
        source: The input's name.
        stamp: What it was known by.
        found, written: The formats of the input and of the output.
        fields: As the option `--fields`.
        raw: Whether rejected records are kept.
        keeper: Makes chunks durable.
        runtime: Versions of what computes where the job began.
    """

    source: str
    stamp: Stamp
    found: Format
    written: Format
    fields: str | None
    raw: bool
    keeper: Keeper
    runtime: Mapping[str, str]


class Worker:
    """Does chunks of one job."""

    def __init__(self, scorer: Scorer, task: Task) -> None:
        """Open the input.

        Raises:
            ChangedError: It is not what it was when the job began.
            InputError: It cannot be read.
        """
        self._scorer, self._task = scorer, task
        self._file: BinaryIO = formats.open_input(task.source)
        found = read_stamp(self._file)
        if found != task.stamp:
            raise ChangedError(f"{task.source}: is not what it was when the job began (was {task.stamp}, is {found})")
        self._opened: Source = open_source(
            scorer, self._file, found, task.source, task.found, task.written, task.fields
        )
        # What has been read of the first rows is read again from where a descriptor begins, by a reader of its own.
        self._again: BinaryIO = formats.open_input(task.source)
        self._reader = formats.open_reader(self._again, task.source, task.found)

    def run(self, group: Sequence[Descriptor]) -> Iterator[Entry]:
        """Do chunks that stand one after the other, and yield what is to be said of each when it is durable.

        Raises:
            ChangedError: The input is not what it was.
            InputError: It cannot be read.
            StorageError, DestinationError: A part cannot be written.
        """
        task, opened = self._task, self._opened
        if any(descriptor.stamp != task.stamp for descriptor in group):
            raise ChangedError(f"{task.source}: the plan is of another content; make the plan again")
        rows = read_from(self._reader, self._again, task.found, group[0])
        for descriptor in group:
            chunks = score_chunks(
                self._scorer, take_planned(rows, descriptor), descriptor.place.row, opened.shown, opened.columns,
                opened.writer, task.raw,
            )  # fmt: skip
            for chunk in chunks:
                yield task.keeper.keep(chunk, opened.writer)
        if not task.stamp.etag and read_stamp(self._again) != task.stamp:
            raise InputError(f"{task.source}: changed while it was read; run again when it is complete")

    def close(self) -> None:
        """Close the input."""
        self._file.close()
        self._again.close()
