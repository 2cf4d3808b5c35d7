"""A scoring job: reads a file of pairs, and writes the same rows with their scores, atomically."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from pairlift import formats
from pairlift.console import say
from pairlift.encoding.counts import Tally
from pairlift.errors import InputError
from pairlift.formats import Format, Writer
from pairlift.inputs.names import stamp_inputs
from pairlift.inputs.options import JobOptions
from pairlift.inputs.reopen import check_stamp, open_again
from pairlift.inputs.source import Source, open_source
from pairlift.jobs.carry import carry_out
from pairlift.jobs.identify import identify
from pairlift.jobs.local import run_here, score_each
from pairlift.jobs.progress import Progress
from pairlift.jobs.terms import MayGoOn, Terms, measure_run
from pairlift.model.golden import FIRST_ROWS, replay
from pairlift.model.scorer import Scorer
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.outcome import Outcome
from pairlift.outputs.places import check_place, open_output
from pairlift.outputs.records import Chunk, LastRun
from pairlift.storage.open import STREAM, open_input
from pairlift.storage.staging import storage_errors
from pairlift.storage.stamp import Input, Stamp, read_stamp
from pairlift.storage.url import is_remote

Engine = Callable[[Scorer, Source, Ledger, Terms], LastRun]


def score_file(
    scorer: Scorer,
    source: str | Sequence[str],
    output: str,
    options: JobOptions | None = None,
    *,
    restart: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    may_go_on: MayGoOn | None = None,
    engine: Engine = run_here,
) -> Outcome:
    """Score a file.

    The output appears only when it is complete. OUTPUT.manifest.json and, if rows were rejected, OUTPUT.rejects.jsonl
    appear beside it. If a job is stopped or killed, it leaves OUTPUT.job, and the same call continues it.

    Args:
        scorer: The scorer of a bundle's variant.
        source: A path or `s3://bucket/key`: `.csv`, `.tsv` or `.jsonl`, plain or with `.gz` or `.zst`, or `.parquet`.
            Or `-` for standard input. A list of several files of one format, with the same columns, is one job, as if
            their rows followed one another in one file.
        output: A path, `s3://bucket/key` or `-`. If it ends with `/`, it is a directory or prefix of parts, which
            `_pairlift/manifest.json` commits.
        options: How to read and write.
        restart: Start over, and discard what an unfinished job has done.
        force: Replace an output that another job of pairlift has made.
        progress: Called after each chunk.
        may_go_on: Called after each chunk with 0, and before the commit with the number of bytes that the commit reads.
            If it returns False, the job stops.
        engine: Scores the chunks: `run_here` in this process, `pairlift.ray.engine.Cluster.run`, or
            `pairlift.jobs.sharing.Share.run`.

    Raises:
        UsageError: A column is missing or occurs twice, or the input already has a column that pairlift adds.
        InputError: The input cannot be read, or changed while it was read.
        DestinationError: The output exists, or another process is making it.
        ChangedError: The input, the bundle, an option or the runtime has changed since the job began.
        RejectsError: Too many rows are rejected; the finished chunks are kept.
        StorageError: The output cannot be written.
        AgreementError: This machine disagrees with the golden pairs.
        Stopped: The process received a signal; the finished chunks are kept.
        Unfinished: `may_go_on` returned False; the finished chunks are kept.
    """
    options, names = options or JobOptions(), [source] if isinstance(source, str) else list(source)
    found = formats.format_of(names[0], output, options.quoting)
    written = formats.format_of(output, names[0], options.quoting)
    terms = Terms(progress=progress, most_rejects=options.most_rejects, may_go_on=may_go_on)
    where = None if output == STREAM else open_output(output, written)
    with storage_errors(output):
        if where is not None:
            check_place(where, names, scorer.bundle.path)
        with open_input(names[0]) as file:
            inputs = stamp_inputs(names, Stamp() if names[0] == STREAM else read_stamp(file))
            if where is None:
                replay(scorer, FIRST_ROWS)
                return _score_to_stream(scorer, _open(scorer, file, inputs, found, written, options), terms)
            identity = identify(scorer, inputs, found, written, options, where.locked)
            with _Scoring(scorer, file, inputs, found, written, options, terms, engine) as work:
                return carry_out(where, identity, work, restart=restart, force=force)


class _Scoring:
    """The work of a job: runs an engine on the inputs, which are opened again if chunks must be computed again."""

    def __init__(
        self, scorer: Scorer, file: BinaryIO, inputs: tuple[Input, ...], found: Format, written: Format, options: JobOptions,
        terms: Terms, engine: Engine,
    ) -> None:  # fmt: skip
        self.labels, self.resumable = scorer.labels, inputs[0].name != STREAM
        self.most_rejects = options.most_rejects
        self._scorer, self._file, self._inputs, self._found, self._written = scorer, file, inputs, found, written
        self._options, self._terms, self._engine = options, terms, engine
        self._opened: Source | None = None
        self._again = contextlib.ExitStack()

    def __enter__(self) -> _Scoring:
        return self

    def __exit__(self, *_: object) -> None:
        self._again.close()

    @property
    def writer(self) -> Writer:
        """The writer of the output."""
        assert self._opened is not None
        return self._opened.writer

    def prepare(self) -> None:
        """Check that this machine reproduces the first golden pairs, and that the input can be read."""
        replay(self._scorer, FIRST_ROWS)
        self._opened = self._open(self._file)

    def run(self, ledger: Ledger) -> LastRun:
        """Score the chunks that are not done."""
        if self._opened is None or self._opened.taken:
            file = self._again.enter_context(open_again(self._inputs[0]))
            check_stamp(read_stamp(file), self._inputs[0])
            self._opened = self._open(file)
        last_run = self._engine(self._scorer, self._opened, ledger, self._terms)
        _check_unchanged(self._opened)
        return last_run

    def _open(self, file: BinaryIO) -> Source:
        return _open(self._scorer, file, self._inputs, self._found, self._written, self._options)


def _open(
    scorer: Scorer, file: BinaryIO, inputs: tuple[Input, ...], found: Format, written: Format, options: JobOptions
) -> Source:
    fields, labels = scorer.bundle.manifest.fields, scorer.labels
    return open_source(file, inputs, found, written, options, fields=fields, labels=labels)


def _check_unchanged(opened: Source) -> None:
    """Raise an `InputError` if a file has changed since it was opened. For an object, each read request checks this."""
    for each in opened.inputs:
        if each.name == STREAM or is_remote(each.name):
            continue
        try:
            now = Path(each.name).stat()
        except OSError as error:
            raise InputError(
                f"{each.name}: was removed while it was read; restore it, and run the same command again",
                passing=True,
            ) from error
        check_stamp(Stamp(size=now.st_size, modified=now.st_mtime_ns), each)
        if each is opened.input and not opened.file.closed:
            check_stamp(read_stamp(opened.file), each)


def _score_to_stream(scorer: Scorer, opened: Source, terms: Terms) -> Outcome:
    """Write to standard output, which cannot be resumed. Rejected rows are printed on standard error at the end."""
    tally, started = Tally(), time.monotonic()
    with storage_errors("standard output"), tempfile.TemporaryFile() as rejects:
        try:
            sys.stdout.buffer.write(opened.writer.header)
            opened.check_headers()
            for chunk in score_each(scorer, opened, {}):
                assert isinstance(chunk, Chunk)
                sys.stdout.buffer.write(chunk.output)
                rejects.write(chunk.rejects)
                tally += chunk.tally
                terms.tell(chunk.tally, tally.rejected, opened.total())
                terms.check_rejects(tally, final=False, kept=False)
            sys.stdout.buffer.flush()
            terms.check_rejects(tally, final=True, kept=False)
        finally:
            rejects.seek(0)
            for line in rejects:
                say(f"rejected: {line.decode().rstrip()}")
    _check_unchanged(opened)
    return Outcome(totals=tally, last_run=measure_run(scorer.threads, 0, tally.rows, started))
