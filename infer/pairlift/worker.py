"""A worker: does chunks of a job by their descriptors, wherever it runs, and says what became of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import score_chunks
from pairlift.destination import Keeper, open_destination
from pairlift.errors import ChangedError, InputError, UsageError
from pairlift.formats import Format
from pairlift.identity import identify
from pairlift.journal import Entry
from pairlift.plan import Descriptor, read_from, take_planned
from pairlift.scorer import Scorer
from pairlift.source import Source, open_source
from pairlift.staging import storage_errors
from pairlift.storage import Stamp, read_stamp
from pairlift.store_destination import StoreDestination


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


def run_descriptor(
    scorer: Scorer,
    descriptor: Descriptor,
    output: str,
    fields: str | None = None,
    raw: bool = True,
    quoting: str | None = None,
) -> list[Entry]:
    """Do one chunk of the job that makes an output in a store; `score_file` puts it together when all are done.

    Args:
        scorer: A bundle's variant.
        descriptor: The chunk, as `plan_file` gives it.
        output: `s3://bucket/key`, or a directory or prefix that ends in `/`.
        fields, raw, quoting: As for `score_file`, which must be told the same.

    Returns:
        What is said of the chunk; nothing when the output is complete already.

    Raises:
        UsageError: The output is a local file, which one process makes.
        ChangedError: The input, or the job that is at work there, is another.
        PairliftError: As `score_file`.
    """
    source = descriptor.input
    found, written = formats.format_of(source, output, quoting), formats.format_of(output, source, quoting)
    where = open_destination(output, written)
    if not isinstance(where, StoreDestination):
        raise UsageError(f"{output}: is a local file, which one process makes; name an object, a directory or a prefix")
    with storage_errors(output):
        where.check(source)
        identity = identify(scorer, descriptor.stamp, source, found, written, fields, raw, where.one_machine)
        if where.find_finished(identity) is not None:
            return []
        task = Task(
            source=source, stamp=descriptor.stamp, found=found, written=written, fields=fields, raw=raw,
            keeper=where.join(identity), runtime=identity.runtime,
        )  # fmt: skip
        with contextlib.closing(Worker(scorer, task)) as worker:
            return list(worker.run([descriptor]))


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
