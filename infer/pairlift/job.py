"""A scoring job: a file of pairs in, the same rows with their scores out, whole or not at all."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from pairlift import formats
from pairlift.chunk import CHUNK_ROWS, digest_rows, score_chunks
from pairlift.commit import JobManifest, LastRun, commit, read_finished
from pairlift.counts import Tally
from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, UsageError
from pairlift.fields import map_fields
from pairlift.formats import STREAM, Format
from pairlift.golden import FIRST_ROWS, replay
from pairlift.journal import Identity, Journal, journal_path, open_journal, remove_journal
from pairlift.machine import read_cpu, read_peak_memory
from pairlift.outcome import Outcome
from pairlift.progress import Progress, Step
from pairlift.rejects import MostRejects
from pairlift.scorer import Scorer
from pairlift.signals import noted_signals
from pairlift.source import Source, open_source
from pairlift.staging import storage_errors
from pairlift.version import read_versions


def score_file(
    scorer: Scorer,
    source: str,
    output: str,
    fields: str | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    most_rejects: MostRejects | None = None,
    raw: bool = True,
    quoting: str | None = None,
) -> Outcome:
    """Score a file.

    The output takes its name when it is complete, with OUTPUT.manifest.json beside it and rejected rows in
    OUTPUT.rejects.jsonl. A job that was stopped or killed left OUTPUT.job; the same call goes on from there.

    Args:
        scorer: A bundle's variant.
        source: `.csv`, `.tsv` or `.jsonl`, plain or with `.gz` or `.zst`, `.parquet`, or `-`.
        output: Likewise.
        fields: As the option `--fields`.
        progress: Called after each chunk.
        restart: Begin again, whatever an earlier run had done.
        most_rejects: How many rows may be rejected; None for any number.
        raw: Whether rejected records are kept in OUTPUT.rejects.jsonl.
        quoting: As the option `--quoting`.

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
    found, written = formats.format_of(source, output, quoting), formats.format_of(output, source, quoting)
    if output == STREAM:
        replay(scorer, FIRST_ROWS)
        with formats.open_input(source) as file:
            return _score_to_stream(scorer, open_source(scorer, file, source, found, written, fields), raw, progress)
    path = Path(output)
    _check_place(path, source)
    with formats.open_input(source) as file:
        identity = Identity(
            input=Path(source).name,
            input_size=0 if source == STREAM else os.fstat(file.fileno()).st_size,
            input_modified=0 if source == STREAM else os.fstat(file.fileno()).st_mtime_ns,
            bundle=scorer.bundle.digest,
            variant=scorer.variant,
            columns=map_fields(fields, scorer.bundle.manifest.fields),
            output_format=str(written),
            quoting=quoting,
            raw=raw,
            chunk_rows=CHUNK_ROWS,
            runtime=_read_runtime(found, written),
        )
        manifest = read_finished(path, identity)
        if manifest is not None:
            remove_journal(journal_path(path))
            return _finished(manifest)
        replay(scorer, FIRST_ROWS)
        opened = open_source(scorer, file, source, found, written, fields)
        fresh = restart or source == STREAM  # what comes on standard input comes once
        with storage_errors(output), open_journal(journal_path(path), identity, fresh) as journal:
            manifest = read_finished(path, identity)
            if manifest is not None:  # made since the first look
                journal.remove()
                return _finished(manifest)
            try:
                last_run = _run(scorer, opened, journal, raw, progress, most_rejects)
                _check_unchanged(identity, file, source)
                manifest = commit(journal, identity, path, opened.writer, scorer.labels, last_run)
            except (InputError, DestinationError):
                journal.remove()  # to go on would come to the same end
                raise
            journal.remove()
    return Outcome(totals=manifest.totals, last_run=last_run, manifest=manifest)


def _finished(manifest: JobManifest) -> Outcome:
    return Outcome(totals=manifest.totals, last_run=manifest.last_run, manifest=manifest, finished=True)


def _run(
    scorer: Scorer,
    opened: Source,
    journal: Journal,
    raw: bool,
    progress: Progress | None,
    most_rejects: MostRejects | None,
) -> LastRun:
    """Do the chunks that are not done."""
    rows, rejected = opened.take(), Counter[str]()
    for entry in journal.entries:
        head = list(itertools.islice(rows, entry.tally.rows))
        if len(head) != entry.tally.rows or digest_rows(head) != entry.source:
            raise ChangedError(
                f"{opened.name}: the rows from {opened.taken - len(head)} on are not what they were when the job began; "
                "bring the old file back, or --restart to begin again"
            )
        rejected.update(entry.tally.rejected)
        _tell(progress, entry.tally, rejected, opened, resumed=True)
    resumed, started = opened.taken, time.monotonic()
    with noted_signals() as signals:
        chunks = score_chunks(scorer, rows, len(journal.entries), opened.name, opened.columns, opened.writer, raw)
        for chunk in chunks:
            journal.add(chunk)
            rejected.update(chunk.tally.rejected)
            _tell(progress, chunk.tally, rejected, opened)
            if most_rejects:
                most_rejects.check(rejected, journal.tally.rows, final=False)
            if signals:
                raise Stopped(signals[0], f"{journal.tally.rows} rows are done; run the same command to go on")
    if most_rejects:
        most_rejects.check(rejected, journal.tally.rows, final=True)
    return _measure_run(scorer, resumed, journal.tally.rows - resumed, started)


def _tell(
    progress: Progress | None, tally: Tally, rejected: Mapping[str, int], opened: Source, resumed: bool = False
) -> None:
    if progress:
        progress(Step(rows=tally.rows, rejected=sum(rejected.values()), total=opened.total(), resumed=resumed))


def _measure_run(scorer: Scorer, resumed: int, rows: int, started: float) -> LastRun:
    seconds = time.monotonic() - started
    return LastRun(
        resumed=resumed,
        seconds=round(seconds, 3),
        rows_per_second=round(rows / max(1e-9, seconds), 1),
        peak_memory=read_peak_memory(),
        threads=scorer.threads,
    )


def _read_runtime(*used: Format) -> dict[str, str]:
    """Return the versions that decide an output's bytes, and the processor's name."""
    packages = ["onnxruntime", "tokenizers", "numpy"]
    packages += ["pyarrow"] if any(f.kind == formats.PARQUET for f in used) else []
    packages += ["backports.zstd"] if any(f.compression == ".zst" for f in used) else []
    versions = read_versions(packages)
    if any(f.compression == ".gz" for f in used):
        versions["zlib"] = zlib.ZLIB_RUNTIME_VERSION
    return {**versions, "cpu": read_cpu()}


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


def _score_to_stream(scorer: Scorer, opened: Source, raw: bool, progress: Progress | None) -> Outcome:
    """Write to standard output, which cannot be resumed; rejected rows are told at the end."""
    tally, started = Tally(), time.monotonic()
    with storage_errors("standard output"), tempfile.TemporaryFile() as rejects:
        sys.stdout.buffer.write(opened.writer.header)
        for chunk in score_chunks(scorer, opened.take(), 0, opened.name, opened.columns, opened.writer, raw):
            sys.stdout.buffer.write(chunk.output)
            rejects.write(chunk.rejects)
            tally += chunk.tally
            _tell(progress, chunk.tally, tally.rejected, opened)
        sys.stdout.buffer.flush()
        rejects.seek(0)
        for line in rejects:
            sys.stderr.write(f"rejected: {line.decode()}")
    return Outcome(totals=tally, last_run=_measure_run(scorer, 0, tally.rows, started))
