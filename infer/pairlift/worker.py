"""A worker: does chunks of a job by their descriptors, wherever it runs, and says what became of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import score_chunks
from pairlift.destination import Keeper, open_destination
from pairlift.errors import ChangedError, UsageError
from pairlift.formats import Format
from pairlift.identity import identify
from pairlift.inputs import Input, common_folder, shown_name
from pairlift.journal import Entry
from pairlift.plan import Descriptor, read_from, take_planned
from pairlift.scorer import Scorer
from pairlift.source import check_stamp, open_again, open_source
from pairlift.staging import storage_errors
from pairlift.storage import read_stamp
from pairlift.store_destination import StoreDestination


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a worker must know of a job; can be sent to another process.

    Attributes:
        leaders: The first inputs, which say what the output looks like; by names that hold in any process.
        folder: That all inputs are in.
        found, written: The formats of the input and of the output.
        fields: As the option `--fields`.
        raw: Whether rejected records are kept.
        keeper: Makes chunks durable.
        runtime: Versions of what computes where the job began.
    """

    leaders: tuple[Input, ...]
    folder: str
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
    """Do one chunk of the job of one input that makes an output in a store; `score_file` puts it together when all are done.

    Args:
        scorer: A bundle's variant.
        descriptor: The chunk, as `plan_files` gives it for this input alone.
        output: `s3://bucket/key`, or a directory or prefix that ends in `/`.
        fields, raw, quoting: As for `score_file`, which must be told the same.

    Returns:
        What is said of the chunk; nothing when the output is complete already.

    Raises:
        UsageError: The output is a local file, which one process makes, or the chunk is of a job of several inputs.
        ChangedError: The input, or the job that is at work there, is another.
        PairliftError: As `score_file`.
    """
    source, only = descriptor.input, Input(name=descriptor.input, stamp=descriptor.stamp)
    if descriptor.first != descriptor.place.row:
        raise UsageError(
            f"{source}: the chunk of row {descriptor.place.row} is row {descriptor.first} of several inputs, whose job one chunk does "
            "not tell; plan each input by itself"
        )
    found, written = formats.format_of(source, output, quoting), formats.format_of(output, source, quoting)
    where = open_destination(output, written)
    if not isinstance(where, StoreDestination):
        raise UsageError(f"{output}: is a local file, which one process makes; name an object, a directory or a prefix")
    with storage_errors(output):
        where.check(source)
        identity = identify(scorer, (only,), found, written, fields, raw, where.one_machine)
        if where.find_finished(identity) is not None:
            return []
        task = Task(
            leaders=(only,), folder=common_folder([source]), found=found, written=written, fields=fields, raw=raw,
            keeper=where.join(identity), runtime=identity.runtime,
        )  # fmt: skip
        with contextlib.closing(Worker(scorer, task)) as worker:
            return list(worker.run([descriptor]))


class Worker:
    """Does chunks of one job."""

    def __init__(self, scorer: Scorer, task: Task) -> None:
        """Open the first input, which decides what the output looks like.

        Raises:
            ChangedError: It is not what it was when the job began.
            InputError: It cannot be read.
        """
        self._scorer, self._task = scorer, task
        first = task.leaders[0]
        self._first = _open_unchanged(first)
        self._opened = open_source(scorer, self._first, task.leaders, task.found, task.written, task.fields)
        # What has been read of the first rows is read again from where a descriptor begins, by a reader of its own.
        self._input, self._file = first, _open_unchanged(first)
        self._reader = formats.open_reader(self._file, first.name, task.found)

    def run(self, group: Sequence[Descriptor]) -> Iterator[Entry]:
        """Do chunks that stand one after the other in one input, and yield what is to be said of each when it is durable.

        Raises:
            ChangedError: The input is not what it was.
            InputError: It cannot be read, or has other columns than the first.
            StorageError, DestinationError: A part cannot be written.
        """
        task, opened = self._task, self._opened
        self._turn_to(Input(name=group[0].input, stamp=group[0].stamp))
        rows = read_from(self._reader, self._file, task.found, group[0])
        shown = shown_name(self._input.name, task.folder)
        for descriptor in group:
            chunks = score_chunks(
                self._scorer, take_planned(rows, descriptor), descriptor.place.row, shown, opened.columns, opened.writer, task.raw,
                descriptor.first - descriptor.place.row,
            )  # fmt: skip
            for chunk in chunks:
                yield task.keeper.keep(chunk, opened.writer)
        if not self._input.stamp.etag:
            check_stamp(read_stamp(self._file), self._input)

    def _turn_to(self, wanted: Input) -> None:
        if wanted == self._input:
            return
        with contextlib.ExitStack() as stack:  # the reader stays with its input when the other one cannot be had
            file = stack.enter_context(_open_unchanged(wanted))
            reader = formats.open_reader(file, wanted.name, self._task.found)
            formats.check_alike(reader, self._opened.reader, wanted.name, self._task.leaders[0].name)
            stack.pop_all()
        self._file.close()
        self._input, self._file, self._reader = wanted, file, reader

    def close(self) -> None:
        """Close the inputs."""
        self._first.close()
        self._file.close()


def _open_unchanged(expected: Input) -> BinaryIO:
    file = open_again(expected)
    found = read_stamp(file)
    if found != expected.stamp:
        file.close()
        raise ChangedError(
            f"{expected.name}: is not what it was when the job began (was {expected.stamp}, is {found}); bring it back, or plan again"
        )
    return file
