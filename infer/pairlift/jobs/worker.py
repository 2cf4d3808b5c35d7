"""A worker: does chunks of a job by their descriptors, wherever it runs, and returns their receipts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from pairlift import formats
from pairlift.errors import ChangedError, DestinationError, UsageError
from pairlift.formats import Format, Reader, Row
from pairlift.inputs.names import common_folder, shown_name
from pairlift.inputs.options import JobOptions
from pairlift.inputs.plan import Descriptor, Span, read_from, take_planned
from pairlift.inputs.reopen import check_stamp, open_again
from pairlift.inputs.rows import RowStream
from pairlift.inputs.source import open_source
from pairlift.jobs.chunks import Running
from pairlift.jobs.identify import identify
from pairlift.model.scorer import Scorer
from pairlift.names import Key
from pairlift.outputs.keeper import Keeper
from pairlift.outputs.places import check_place, open_output
from pairlift.outputs.records import Receipt
from pairlift.storage.open import open_input
from pairlift.storage.staging import storage_errors
from pairlift.storage.stamp import Input, describe_change, read_stamp
from pairlift.storage.url import is_remote


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a worker must know of a job; can be sent to another process.

    Attributes:
        leaders: The first inputs, which say what the output looks like; by names that hold in any process.
        folder: That all inputs are in.
        found, written: The formats of the input and of the output.
        options: The job's options.
        keeper: Makes chunks durable.
        runtime: Versions of what computes where the job began.
    """

    leaders: tuple[Input, ...]
    folder: str
    found: Format
    written: Format
    options: JobOptions
    keeper: Keeper
    runtime: Mapping[str, str]


def run_descriptor(
    scorer: Scorer, descriptor: Descriptor, output: str, options: JobOptions | None = None
) -> list[Receipt]:
    """Do one chunk of the job of one input that makes an output in a store; `score_file` makes the output when all are done.

    Args:
        scorer: A bundle's variant.
        descriptor: The chunk, as `plan_files` gives it for this input alone.
        output: `s3://bucket/key`, or a directory or prefix that ends in `/`.
        options: As for `score_file`, which must be given the same.

    Returns:
        The chunk's receipts; nothing if the output is complete already.

    Raises:
        UsageError: The output is a local file, which one process makes, or the chunk is of a job of several inputs.
        ChangedError: The input, or the job that is at work there, is another.
        PairliftError: As `score_file`.
    """
    options = options or JobOptions()
    if descriptor.lot or len(descriptor.spans) != 1 or descriptor.row != descriptor.spans[0].place.row:
        raise UsageError(
            f"{descriptor.spans[0].input}: the chunk is of a job of several inputs, which one chunk cannot describe; plan each input "
            "by itself"
        )
    only = descriptor.spans[0].of
    found = formats.format_of(only.name, output, options.quoting)
    written = formats.format_of(output, only.name, options.quoting)
    where = open_output(output, written)
    if where.locked:
        raise UsageError(f"{output}: is a local file, which one process makes; name an object, a directory or a prefix")
    with storage_errors(output):
        _check_planned(only)
        check_place(where, [only.name], scorer.bundle.path)
        identity = identify(scorer, (only,), found, written, options, one_machine=False)
        with where.open(identity) as ledger:
            if ledger is None:
                return []
            task = Task(
                leaders=(only,), folder=common_folder([only.name]), found=found, written=written, options=options,
                keeper=ledger.keeper, runtime=identity.runtime,
            )  # fmt: skip
            with contextlib.closing(Worker(scorer, task)) as worker:
                try:
                    return list(worker.run(descriptor))
                except DestinationError:
                    if where.find_finished(identity) is not None:
                        return []
                    raise


def _check_planned(planned: Input) -> None:
    """Hold an input to what it was when the plan was made, before a job of another one is begun; a `ChangedError`."""
    with open_input(planned.name) as file:
        now = read_stamp(file)
    if now != planned.stamp:
        raise ChangedError(
            f"{planned.name}: has changed since the job was planned ({describe_change(planned.stamp, now)}); restore it, or run "
            "pairlift plan again"
        )


class Worker:
    """Does chunks of one job."""

    def __init__(self, scorer: Scorer, task: Task) -> None:
        """Open the first input, which decides what the output looks like.

        Raises:
            InputError: It cannot be read, or is not what it was when the job began.
        """
        self._scorer, self._task = scorer, task
        first = task.leaders[0]
        self._first = _open_unchanged(first)
        self._opened = open_source(
            self._first,
            task.leaders,
            task.found,
            task.written,
            task.options,
            fields=scorer.bundle.manifest.fields,
            labels=scorer.labels,
        )
        # What has been read of the first rows is read again from where a descriptor begins, by a reader of its own.
        self._input, self._file = first, _open_unchanged(first)
        self._reader: Reader = formats.open_reader(self._file, first.name, task.found)
        self._rows: tuple[Span, Iterator[Row]] | None = None

    def run(self, descriptor: Descriptor) -> Iterator[Receipt]:
        """Do a chunk, and yield the receipt of it; of large rows of Parquet it is several.

        Raises:
            InputError: The input is not what it was, cannot be read, or has other columns than the first.
            StorageError, DestinationError: A part cannot be written.
        """
        task, opened = self._task, self._opened
        begun: list[tuple[int, str]] = []
        stream = RowStream(self._read(descriptor, begun), begun)
        done = 0
        while True:
            key = Key(descriptor.lot, descriptor.row + done)
            running = Running(self._scorer, key, stream, opened.columns, task.options.chunk_rows, done)
            if not running.rows:
                return
            done += len(running.rows)
            yield task.keeper.keep(running.finish(opened.writer, task.options.raw), opened.writer)

    def _read(self, descriptor: Descriptor, begun: list[tuple[int, str]]) -> Iterator[Row]:
        before = 0
        for span in descriptor.spans:
            self._turn_to(span.of)
            begun.append((before, shown_name(span.input, self._task.folder)))
            yield from take_planned(self._read_span(span), span)
            before += span.rows
            if not is_remote(span.input):  # an object is held to its ETag at each reading
                check_stamp(read_stamp(self._file), span.of)

    def _read_span(self, span: Span) -> Iterator[Row]:
        """Return the rows from a span's first one on; a reader that is there already goes on, as a compressed file must."""
        last = self._rows
        if last is not None and last[0].input == span.input and last[0].place.row + last[0].rows == span.place.row:
            rows = last[1]
        else:
            rows = read_from(self._reader, self._file, self._task.found, span)
        self._rows = span, rows
        return rows

    def _turn_to(self, wanted: Input) -> None:
        if wanted == self._input:
            return
        self._rows = None
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
    try:
        check_stamp(read_stamp(file), expected)
    except BaseException:
        file.close()
        raise
    return file
