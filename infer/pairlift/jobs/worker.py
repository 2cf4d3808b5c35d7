"""A worker: scores chunks of a job, given by their descriptors, in any process, and returns their receipts."""

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
    """Everything that a worker needs to know about a job; can be sent to another process.

    Attributes:
        leaders: The first inputs, which determine the columns of the output; by names that are valid in any process.
        folder: The common folder of all inputs.
        found, written: The formats of the input and of the output.
        options: The job's options.
        keeper: Makes chunks durable.
        runtime: The versions of the libraries, and the processor, in the process that began the job.
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
    """Score one chunk of a job that has one input, and whose output is an object, a directory or a prefix.

    When all chunks are done, `score_file` commits the output.

    Args:
        scorer: The scorer of a bundle's variant.
        descriptor: The chunk, as `plan_files` returns it for this input alone.
        output: `s3://bucket/key`, or a directory or prefix that ends with `/`.
        options: The options of the job; `score_file` must be called with the same ones.

    Returns:
        The chunk's receipts; an empty list if the output is already complete.

    Raises:
        UsageError: The output is a local file, which only one process may write, or the chunk belongs to a job of
            several inputs.
        ChangedError: The input has changed since it was planned, or another job is unfinished there.
        PairliftError: See `score_file`.
    """
    options = options or JobOptions()
    if descriptor.lot or len(descriptor.spans) != 1 or descriptor.row != descriptor.spans[0].place.row:
        raise UsageError(
            f"{descriptor.spans[0].input}: the chunk belongs to a job of several inputs, and can only be scored as part of it; plan "
            "each input by itself"
        )
    only = descriptor.spans[0].of
    found = formats.format_of(only.name, output, options.quoting)
    written = formats.format_of(output, only.name, options.quoting)
    where = open_output(output, written)
    if where.locked:
        raise UsageError(
            f"{output}: is a local file, which only one process may write; name an object, a directory or a prefix"
        )
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
    """Raise a `ChangedError` if an input has changed since it was planned, before a job for the new input begins."""
    with open_input(planned.name) as file:
        now = read_stamp(file)
    if now != planned.stamp:
        raise ChangedError(
            f"{planned.name}: has changed since the job was planned ({describe_change(planned.stamp, now)}); restore it, or run "
            "pairlift plan again"
        )


class Worker:
    """Scores chunks of one job."""

    def __init__(self, scorer: Scorer, task: Task) -> None:
        """Open the first input, which determines the columns of the output.

        Raises:
            InputError: The input cannot be read, or has changed since the job began.
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
        # `open_source` has already read the first rows. So the chunks are read by another reader, which starts at a
        # descriptor.
        self._input, self._file = first, _open_unchanged(first)
        self._reader: Reader = formats.open_reader(self._file, first.name, task.found)
        self._rows: tuple[Span, Iterator[Row]] | None = None

    def run(self, descriptor: Descriptor) -> Iterator[Receipt]:
        """Score a chunk, and yield its receipt, or several receipts if large rows of Parquet divide the chunk.

        Raises:
            InputError: The input has changed, cannot be read, or has other columns than the first.
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
            if not is_remote(span.input):  # for an object, each read request checks the ETag
                check_stamp(read_stamp(self._file), span.of)

    def _read_span(self, span: Span) -> Iterator[Row]:
        """Return the rows from a span's first row on. A reader that is already there continues without a seek."""
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
        with contextlib.ExitStack() as stack:  # if the new input cannot be opened, the reader keeps the old one
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
