"""A scoring job: a file of pairs in, the same rows with their scores out, whole or not at all."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pairlift import formats
from pairlift.chunk import Chunk, score_chunks
from pairlift.commit import JobManifest, LastRun
from pairlift.console import say
from pairlift.counts import Tally
from pairlift.destination import Destination, Work, open_destination
from pairlift.errors import InputError, Stopped
from pairlift.formats import STREAM
from pairlift.golden import FIRST_ROWS, replay
from pairlift.identity import Identity, identify
from pairlift.inputs import stamp_inputs
from pairlift.local_engine import MayGoOn, Terms, measure_run, run_here
from pairlift.outcome import Outcome
from pairlift.progress import Progress
from pairlift.rejects import MostRejects
from pairlift.scorer import Scorer
from pairlift.source import Source, check_stamp, open_source
from pairlift.staging import storage_errors
from pairlift.storage import Stamp, is_remote, read_stamp

Engine = Callable[[Scorer, Source, Work, Terms], LastRun]


def score_file(
    scorer: Scorer,
    source: str | Sequence[str],
    output: str,
    fields: str | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    most_rejects: MostRejects | None = None,
    raw: bool = True,
    quoting: str | None = None,
    may_go_on: MayGoOn | None = None,
    run: Engine = run_here,
) -> Outcome:
    """Score a file.

    The output takes its name when it is complete, with OUTPUT.manifest.json beside it and rejected rows in
    OUTPUT.rejects.jsonl. A job that was stopped or killed left OUTPUT.job; the same call goes on from there.

    Args:
        scorer: A bundle's variant.
        source: A path or `s3://bucket/key`: `.csv`, `.tsv` or `.jsonl`, plain or with `.gz` or `.zst`, `.parquet`; or `-`.
            Several of one format and with the same columns are one job, as if their rows stood one after the other.
        output: Likewise; with `/` at its end a directory or prefix of parts, which `manifest.json` commits.
        fields: As the option `--fields`.
        progress: Called after each chunk.
        restart: Begin again, whatever an earlier run had done.
        most_rejects: How many rows may be rejected; None for any number.
        raw: Whether rejected records are kept in OUTPUT.rejects.jsonl.
        quoting: As the option `--quoting`.
        may_go_on: Asked after each chunk, and before the output is put together with the bytes that it takes; when it may
            not, the job stops.
        run: The engine; the local one, or one that `pairlift.ray_engine` makes.

    Raises:
        UsageError: A column is missing, taken or stands twice.
        InputError: The input cannot be read, or changed while it was read.
        DestinationError: The output exists, or another process makes it.
        ChangedError: Something is not as it was when the job began.
        RejectsError: Too many rows are rejected; the chunks that are done are kept.
        StorageError: The output cannot be written.
        AgreementError: This machine disagrees with the golden pairs.
        Stopped: A signal came; the chunks that are done are kept.
        Unfinished: It may not go on; the chunks that are done are kept.
    """
    names = [source] if isinstance(source, str) else list(source)
    found, written = formats.format_of(names[0], output, quoting), formats.format_of(output, names[0], quoting)
    terms = Terms(progress=progress, most_rejects=most_rejects, raw=raw, may_go_on=may_go_on)
    where = None if output == STREAM else open_destination(output, written)
    with storage_errors(output):
        if where is not None:
            for name in names:
                where.check(name)
        with formats.open_input(names[0]) as file:
            inputs = stamp_inputs(names, Stamp() if names[0] == STREAM else read_stamp(file))
            if where is None:
                replay(scorer, FIRST_ROWS)
                opened = open_source(scorer, file, inputs, found, written, fields)
                return _score_to_stream(scorer, opened, terms)
            identity = identify(scorer, inputs, found, written, fields, raw, where.one_machine)
            manifest = _find_finished(where, identity, most_rejects)
            if manifest is not None:
                where.remove_finished(identity)
                return _finished(manifest)
            replay(scorer, FIRST_ROWS)
            opened = open_source(scorer, file, inputs, found, written, fields)
            with where.open(identity, restart, resumable=names[0] != STREAM) as work:
                manifest = _find_finished(where, identity, most_rejects)
                if manifest is not None:
                    work.remove()  # made since the first look
                    return _finished(manifest)
                try:
                    last_run = run(scorer, opened, work, terms)
                    _check_unchanged(opened)
                    manifest = where.commit(work, identity, opened.writer, scorer.labels, last_run)
                except BaseException as error:
                    _let_go(error, opened, work)
                    raise
                work.remove()
                return Outcome(totals=manifest.totals, last_run=last_run, manifest=manifest)


def _let_go(error: BaseException, opened: Source, work: Work) -> None:
    """Keep what is done of a job that cannot be brought to an end, if that is of use."""
    if opened.name == STREAM or (isinstance(error, InputError) and not error.passing):
        work.discard()
    if opened.name == STREAM and isinstance(error, Stopped):
        raise Stopped(error.number, "what came on standard input is not kept; begin again") from None


def _find_finished(where: Destination, identity: Identity, most_rejects: MostRejects | None) -> JobManifest | None:
    """Return the manifest of an output that this very job has made.

    Raises:
        DestinationError: Another job has made it; what came on standard input is never known to be the same.
        RejectsError: It has more rejected rows than are allowed now.
    """
    manifest = where.find_finished(identity)
    if manifest is not None and most_rejects:
        most_rejects.check(manifest.totals.rejected, manifest.totals.rows, "mend the input, or allow more", final=True)
    return manifest


def _finished(manifest: JobManifest) -> Outcome:
    return Outcome(totals=manifest.totals, last_run=manifest.last_run, manifest=manifest, finished=True)


def _check_unchanged(opened: Source) -> None:
    """Hold the input to what it was when it was opened; an object is held to it at each reading."""
    for each in opened.inputs:
        if each.name == STREAM or is_remote(each.name):
            continue
        try:
            now = Path(each.name).stat()
        except OSError as error:
            raise InputError(
                f"{each.name}: was removed while it was read; bring it back and run the same command again",
                passing=True,
            ) from error
        check_stamp(Stamp(size=now.st_size, modified=now.st_mtime_ns), each)
        if each is opened.input and not opened.file.closed:
            check_stamp(read_stamp(opened.file), each)


def _score_to_stream(scorer: Scorer, opened: Source, terms: Terms) -> Outcome:
    """Write to standard output, which cannot be resumed; rejected rows are told at the end."""
    tally, started = Tally(), time.monotonic()
    with storage_errors("standard output"), tempfile.TemporaryFile() as rejects:
        try:
            sys.stdout.buffer.write(opened.writer.header)
            for chunk in _score_each(scorer, opened, terms.raw):
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


def _score_each(scorer: Scorer, opened: Source, raw: bool) -> Iterator[Chunk]:
    opened.check_headers()
    for shown, rows in opened.each():
        yield from score_chunks(scorer, rows, 0, shown, opened.columns, opened.writer, raw, opened.taken)
