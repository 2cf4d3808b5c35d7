"""A scoring job: a file of pairs in, the same rows with their scores out, whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import orjson

from pairlift import formats
from pairlift.encoder import Pair, check_text
from pairlift.errors import DestinationError, RowError, UsageError
from pairlift.fields import check_columns, map_fields
from pairlift.formats import STREAM, Columns, Reader, Row, Writer
from pairlift.golden import FIRST_ROWS, replay
from pairlift.scorer import WINDOW_ROWS, Pending, Probabilities, Scorer, softmax
from pairlift.staging import storage_errors, sync_directory

RAW_SHOWN = 2000  # characters of a rejected record that are kept


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job did: rows scored, and rejected rows by reason."""

    scored: int
    rejected: dict[str, int]

    @property
    def rows(self) -> int:
        """All rows of the input."""
        return self.scored + sum(self.rejected.values())


def rejects_path(output: str) -> Path:
    """Return where the rejected rows of an output go."""
    return Path(f"{output}.rejects.jsonl")


def score_file(
    scorer: Scorer, source: str, output: str, fields: str | None = None, progress: Callable[[int], None] | None = None
) -> Outcome:
    """Score a file.

    The output takes its name when it is complete; a rejected row is in OUTPUT.rejects.jsonl with its reason.

    Args:
        scorer: A bundle's variant.
        source: `.csv`, `.tsv` or `.jsonl`, or `-`.
        output: Likewise.
        fields: As the option `--fields`.
        progress: Called with the number of rows after each chunk.

    Raises:
        UsageError: A column is missing, taken or stands twice.
        InputError: The input cannot be read.
        DestinationError: The output exists.
        StorageError: The output cannot be written.
        AgreementError: This machine disagrees with the golden pairs.
    """
    replay(scorer, FIRST_ROWS)
    columns = map_fields(fields, scorer.bundle.manifest.fields)
    kind_in, kind_out = formats.format_of(source, output), formats.format_of(output, source)
    with formats.open_input(source) as file:
        reader = formats.open_reader(file, source, kind_in)
        added = ("prediction", *(f"p_{label}" for label in scorer.labels))
        if reader.columns is not None:
            check_columns(reader.columns, columns, source)
            _check_taken(reader.columns, added, source)
        with _destination(output, source) as (target, rejects):
            writer = formats.open_writer(target, kind_out, Columns(given=reader.columns, added=added))
            return _score_rows(scorer, reader, source, columns, writer, rejects, progress)


def _score_rows(
    scorer: Scorer,
    reader: Reader,
    source: str,
    columns: dict[str, str],
    writer: Writer,
    rejects: IO[bytes],
    progress: Callable[[int], None] | None,
) -> Outcome:
    """Score the rows by windows: while one is computed, the one before is written and the next is read."""
    outcome = _Tally(source, writer, rejects, scorer.labels)
    rows, before = iter(reader), None
    checked = reader.columns is not None
    while chunk := list(itertools.islice(rows, WINDOW_ROWS)):
        if not checked and (first := next((row for row in chunk if row.error is None), None)):
            check_columns(tuple(first.values), columns, f"{source}:{first.line}")
            checked = True
        window = _Window(chunk, columns)
        window.pending = scorer.submit(window.pairs)
        if before is not None:
            outcome.write(before)
            if progress:
                progress(len(before.rows))
        before = window
    if before is not None:
        outcome.write(before)
        if progress:
            progress(len(before.rows))
    return Outcome(scored=outcome.scored, rejected=dict(sorted(outcome.rejected.items())))


class _Window:
    """Rows that are scored together: those that can be, and why the others cannot."""

    def __init__(self, rows: list[Row], columns: dict[str, str]) -> None:
        self.rows = rows
        self.pairs: list[Pair] = []
        self.errors: dict[int, RowError] = {}
        self.pending: Pending
        for row in rows:
            try:
                self.pairs.append(_read_pair(row, columns))
            except RowError as error:
                self.errors[row.number] = error


class _Tally:
    """Writes windows, and counts."""

    def __init__(self, source: str, writer: Writer, rejects: IO[bytes], labels: tuple[str, ...]) -> None:
        self._source, self._writer, self._rejects, self._labels = source, writer, rejects, labels
        self.scored = 0
        self.rejected: Counter[str] = Counter()

    def write(self, window: _Window) -> None:
        """Wait for a window's scores, and write each row or its error."""
        logits = window.pending.wait()
        finite = np.asarray(np.isfinite(logits).all(axis=1)).tolist()
        best: list[int] = logits.argmax(axis=1).tolist()
        scored = zip(finite, best, format_scores(softmax(logits)), strict=True)
        for row in window.rows:
            error = window.errors.get(row.number)
            try:
                if error is not None:
                    raise error
                right, label, probabilities = next(scored)
                if not right:
                    raise RowError("not_finite", "the model gave a score that is not a finite number")
                self._writer.write(row, self._labels[label], probabilities)
            except RowError as problem:
                self.rejected[problem.reason] += 1
                self._rejects.write(_describe_reject(self._source, row, problem))
            else:
                self.scored += 1


def format_scores(probabilities: Probabilities) -> list[list[str]]:
    """Return each row's probabilities as the shortest decimals that are the same float32."""
    text = orjson.dumps(np.ascontiguousarray(probabilities), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return [row.split(",") for row in text[2:-2].split("],[")] if len(probabilities) else []


def _read_pair(row: Row, columns: dict[str, str]) -> Pair:
    if row.error is not None:
        raise row.error
    texts = []
    for column in columns.values():
        if column not in row.values:
            raise RowError("missing_field", f"no key {column!r}")
        texts.append(check_text(row.values[column], column))
    return texts[0], texts[1]


def _describe_reject(source: str, row: Row, error: RowError) -> bytes:
    described = {
        "source": source,
        "row": row.number,
        "line": row.line,
        "reason": error.reason,
        "detail": error.detail,
        "raw": row.raw[:RAW_SHOWN].encode(errors="backslashreplace").decode(),
    }
    return orjson.dumps(described, option=orjson.OPT_APPEND_NEWLINE)


def _check_taken(columns: tuple[str, ...], added: tuple[str, ...], source: str) -> None:
    taken = [name for name in added if name in columns]
    if taken:
        raise UsageError(f"{source}: has a column {taken[0]!r} already, which the scores need; rename it in the input")


@contextlib.contextmanager
def _destination(output: str, source: str) -> Iterator[tuple[BinaryIO, IO[bytes]]]:
    if output == STREAM:
        with storage_errors("standard output"), tempfile.TemporaryFile() as rejects:
            yield sys.stdout.buffer, rejects
            sys.stdout.buffer.flush()
            rejects.seek(0)
            for line in rejects:
                sys.stderr.write(f"rejected: {line.decode()}")
        return
    path, rejected = Path(output), rejects_path(output)
    if path.exists() or path.is_symlink():
        raise DestinationError(f"{output}: exists; remove it, or choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"{output}: the folder {path.parent} does not exist; make it first")
    if source != STREAM and path.parent.resolve() / path.name == Path(source).resolve():
        raise UsageError(f"{output}: is the input; choose another name for the output")
    with storage_errors(output), contextlib.ExitStack() as stack:
        target = stack.enter_context(_sibling(path))
        refused = stack.enter_context(_sibling(rejected))
        yield target, refused
        for file in (refused, target):
            file.flush()
            os.fsync(file.fileno())
        if refused.tell():
            Path(refused.name).replace(rejected)
        else:
            rejected.unlink(missing_ok=True)
        try:
            os.link(target.name, path)  # unlike a rename, never over a file that came meanwhile
        except FileExistsError:
            raise DestinationError(f"{output}: was made by another process meanwhile; choose another name") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP):
                raise
            Path(target.name).replace(path)
        sync_directory(path.parent)


@contextlib.contextmanager
def _sibling(path: Path) -> Iterator[BinaryIO]:
    with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", suffix=".partial", dir=path.parent, delete=False) as file:
        try:
            Path(file.name).chmod(0o644)
            yield file  # type: ignore[misc]
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(file.name).unlink()


def describe(outcome: Outcome, output: str) -> str:
    """Return a job's summary, one line."""
    if not outcome.rejected:
        return f"{outcome.scored} rows scored"
    reasons = ", ".join(f"{reason} {count}" for reason, count in outcome.rejected.items())
    where = "above" if output == STREAM else f"in {rejects_path(output)}"
    return f"{outcome.scored} rows scored, {outcome.rows - outcome.scored} rejected ({reasons}): {where}"
