"""A scoring job: a file of pairs in, the same rows with their scores out, whole or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import CHUNK_ROWS, digest_rows, score_chunks
from pairlift.commit import commit, count_rejected, read_finished
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, UsageError
from pairlift.fields import check_columns, map_fields
from pairlift.formats import STREAM, Columns, Row, Writer
from pairlift.formats.compression import compress
from pairlift.golden import FIRST_ROWS, replay
from pairlift.journal import Identity, Journal, journal_path, open_journal, remove_journal
from pairlift.machine import read_cpu
from pairlift.outcome import Outcome
from pairlift.rejects import MostRejects
from pairlift.scorer import Scorer
from pairlift.signals import noted_signals
from pairlift.staging import storage_errors
from pairlift.version import read_versions

Progress = Callable[[int], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """An opened input: its rows, where the texts are in them, and the writer of the output's records."""

    source: str
    rows: Iterator[Row]
    columns: Mapping[str, str]
    writer: Writer
    compression: str
    raw: bool

    @property
    def header(self) -> bytes:
        """What is before the first chunk, packed as the chunks are."""
        return compress(self.writer.header, self.compression)


def score_file(
    scorer: Scorer,
    source: str,
    output: str,
    fields: str | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    most_rejects: MostRejects | None = None,
    raw: bool = True,
) -> Outcome:
    """Score a file.

    The output takes its name when it is complete, with OUTPUT.manifest.json beside it and rejected rows in
    OUTPUT.rejects.jsonl. A job that was stopped or killed left OUTPUT.job; the same call goes on from there.

    Args:
        scorer: A bundle's variant.
        source: `.csv`, `.tsv` or `.jsonl`, plain or with `.gz` or `.zst`, or `-`.
        output: Likewise.
        fields: As the option `--fields`.
        progress: Called with the number of rows after each chunk.
        restart: Begin again, whatever an earlier run had done.
        most_rejects: How many rows may be rejected; None for any number.
        raw: Whether rejected records are kept in OUTPUT.rejects.jsonl.

    Raises:
        UsageError: A column is missing, taken or stands twice.
        InputError: The input cannot be read, or changed while it was read.
        DestinationError: The output exists, or another process makes it.
        ChangedError: Something is not as it was when the job began.
        RejectsError: Too many rows are rejected; the chunks that are done are kept.
        StorageError: The output cannot be written.
        AgreementError: This machine disagrees with the golden pairs.
        Stopped: A signal came; the chunks that are done are kept.
    """
    formats.format_of(source, output), formats.format_of(output, source)
    if output == STREAM:
        replay(scorer, FIRST_ROWS)
        with formats.open_input(source) as file:
            return _score_to_stream(scorer, _open(scorer, file, source, output, fields, raw), progress)
    path = Path(output)
    _check_place(path, source)
    with formats.open_input(source) as file:
        identity = _identify(scorer, file, source, path, fields, raw)
        finished = read_finished(path, identity)
        if finished is not None:
            remove_journal(journal_path(path))
            return Outcome(scored=finished.scored, rejected=finished.rejected, finished=True)
        replay(scorer, FIRST_ROWS)
        opened = _open(scorer, file, source, output, fields, raw)
        fresh = restart or source == STREAM  # what comes on standard input comes once
        with storage_errors(output), open_journal(journal_path(path), identity, fresh) as journal:
            finished = read_finished(path, identity)
            if finished is not None:  # made since the first look
                journal.remove()
                return Outcome(scored=finished.scored, rejected=finished.rejected, finished=True)
            try:
                resumed = _run(scorer, opened, journal, progress, most_rejects)
                _check_unchanged(identity, file, source)
                manifest = commit(journal, identity, path, opened.header, scorer.labels)
            except (InputError, DestinationError):
                journal.remove()  # to go on would come to the same end
                raise
            journal.remove()
    return Outcome(scored=manifest.scored, rejected=manifest.rejected, resumed=resumed)


def _open(scorer: Scorer, file: BinaryIO, source: str, output: str, fields: str | None, raw: bool) -> _Input:
    kind_in, kind_out = formats.format_of(source, output), formats.format_of(output, source)
    columns = map_fields(fields, scorer.bundle.manifest.fields)
    reader = formats.open_reader(file, source, kind_in)
    rows, given = iter(reader), reader.columns
    added = ("prediction", *(f"p_{label}" for label in scorer.labels))
    if given is not None:
        check_columns(given, columns, source)
        taken = next((name for name in added if name in given), None)
        if taken:
            raise UsageError(f"{source}: has a column {taken!r} already, which the scores need; rename it in the input")
    else:
        head: list[Row] = []
        while len(head) < CHUNK_ROWS and not (head and head[-1].error is None) and (row := next(rows, None)):
            head.append(row)
        rows = itertools.chain(head, rows)
        first = next((row for row in head if row.error is None), None)
        if first is not None:
            check_columns(tuple(first.values), columns, f"{source}:{first.line}")
        if kind_out.kind != ".jsonl":
            given = () if first is None else tuple(name for name in first.values if name not in added)
    return _Input(
        source=source,
        rows=rows,
        columns=columns,
        writer=formats.make_writer(kind_out.kind, Columns(given=given, added=added)),
        compression=kind_out.compression,
        raw=raw,
    )


def _run(
    scorer: Scorer, opened: _Input, journal: Journal, progress: Progress | None, most_rejects: MostRejects | None
) -> int:
    """Do the chunks that are not done, and return how many rows were."""
    resumed = 0
    for entry in journal.entries:
        rows = list(itertools.islice(opened.rows, CHUNK_ROWS))
        if len(rows) != entry.rows or digest_rows(rows) != entry.source:
            raise ChangedError(
                f"{opened.source}: the rows from {resumed} on are not what they were when the job began; "
                "bring the old file back, or --restart to begin again"
            )
        resumed += len(rows)
        if progress:
            progress(len(rows))
    done = resumed
    with noted_signals() as signals:
        first = len(journal.entries)
        for chunk in score_chunks(
            scorer, opened.rows, first, opened.source, opened.columns, opened.writer, opened.compression, opened.raw
        ):
            journal.add(chunk)
            done += chunk.rows
            if progress:
                progress(chunk.rows)
            if most_rejects:
                most_rejects.check(count_rejected(journal.entries), done, final=False)
            if signals:
                raise Stopped(signals[0], f"{done} rows are done; run the same command to go on")
    if most_rejects:
        most_rejects.check(count_rejected(journal.entries), done, final=True)
    return resumed


def _identify(scorer: Scorer, file: BinaryIO, source: str, output: Path, fields: str | None, raw: bool) -> Identity:
    regular = source != STREAM
    stat = os.fstat(file.fileno())
    return Identity(
        input=Path(source).name,
        input_size=stat.st_size if regular else 0,
        input_modified=stat.st_mtime_ns if regular else 0,
        bundle=scorer.bundle.digest,
        variant=scorer.variant,
        columns=map_fields(fields, scorer.bundle.manifest.fields),
        output_format=str(formats.format_of(str(output), source)),
        raw=raw,
        chunk_rows=CHUNK_ROWS,
        runtime={**read_versions(("onnxruntime", "tokenizers", "numpy")), "cpu": read_cpu()},
    )


def _check_unchanged(identity: Identity, file: BinaryIO, source: str) -> None:
    if source == STREAM:
        return
    for stat in (os.fstat(file.fileno()), Path(source).stat()):
        if (stat.st_size, stat.st_mtime_ns) != (identity.input_size, identity.input_modified):
            raise InputError(f"{source}: changed while it was read; run again when it is complete")


def _check_place(path: Path, source: str) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if source != STREAM and path.parent.resolve() / path.name == Path(source).resolve():
        raise UsageError(f"{path}: is the input; choose another name for the output")


def _score_to_stream(scorer: Scorer, opened: _Input, progress: Progress | None) -> Outcome:
    """Write to standard output, which cannot be resumed; rejected rows are told at the end."""
    scored, rejected = 0, Counter[str]()
    with storage_errors("standard output"), tempfile.TemporaryFile() as rejects:
        sys.stdout.buffer.write(opened.header)
        for chunk in score_chunks(
            scorer, opened.rows, 0, opened.source, opened.columns, opened.writer, opened.compression, opened.raw
        ):
            sys.stdout.buffer.write(chunk.output)
            rejects.write(chunk.rejects)
            scored += chunk.scored
            rejected.update(chunk.rejected)
            if progress:
                progress(chunk.rows)
        sys.stdout.buffer.flush()
        rejects.seek(0)
        for line in rejects:
            sys.stderr.write(f"rejected: {line.decode()}")
    return Outcome(scored=scored, rejected=dict(sorted(rejected.items())))
