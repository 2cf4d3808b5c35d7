"""The local engine: scores a job's chunks one after the other in this process."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator

from pairlift.errors import ChangedError
from pairlift.inputs.rows import RowStream, digest_rows
from pairlift.inputs.source import Source
from pairlift.jobs.chunks import Running
from pairlift.jobs.terms import Terms, check_signals, measure_run
from pairlift.model.scorer import Scorer
from pairlift.names import Key
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.records import Chunk, LastRun, Receipt
from pairlift.signals import noted_signals
from pairlift.storage.open import STREAM


def run_here(scorer: Scorer, opened: Source, ledger: Ledger, terms: Terms) -> LastRun:
    """Score the chunks that are not done, and return the statistics of this run.

    Raises:
        ChangedError: The rows of finished chunks have changed.
        InputError: An input cannot be read, has changed, or has other columns than the first.
        RejectsError, Stopped, Unfinished: See `score_file`.
    """
    opened.check_headers()
    rejected, resumed = Counter[str](), ledger.tally.rows
    kept, started = opened.name != STREAM, time.monotonic()
    with noted_signals() as signals:
        for found in score_each(scorer, opened, dict(ledger.receipts)):
            if isinstance(found, Receipt):
                rejected.update(found.tally.rejected)
                terms.tell(found.tally, rejected, opened.total(), resumed=True)
                started = time.monotonic()
                check_signals(signals, ledger.tally.rows)
                continue
            receipt = ledger.keeper.keep(found, opened.writer)
            ledger.note(receipt)
            rejected.update(receipt.tally.rejected)
            terms.tell(receipt.tally, rejected, opened.total())
            terms.check_rejects(ledger.tally, final=False, kept=kept)
            check_signals(signals, ledger.tally.rows)
            terms.check_time(0, ledger.tally.rows, resumed)
    terms.check_rejects(ledger.tally, final=True, kept=kept)
    if ledger.tally.rows > resumed:
        terms.check_time(ledger.size, ledger.tally.rows, resumed)
    return measure_run(scorer.threads, resumed, ledger.tally.rows - resumed, started)


def score_each(scorer: Scorer, opened: Source, done: dict[Key, Receipt]) -> Iterator[Receipt | Chunk]:
    """Yield the chunks in order: a receipt for each finished chunk, and a newly scored chunk for each other one.

    The rows of a finished chunk are read again and compared with its digest. While one chunk is computed, the previous
    one is written and the next one is read.

    Args:
        scorer: The scorer of a bundle's variant.
        opened: The source.
        done: The receipts of the finished chunks; this function empties it.

    Raises:
        ChangedError: The rows of a finished chunk have changed.
    """
    last: Running | None = None
    for lot, stream in enumerate(opened.lots()):
        row = 0
        while True:
            receipt = done.pop(Key(lot, row), None)
            if receipt is None:
                running = Running(scorer, Key(lot, row), stream, opened.columns, opened.options.chunk_rows, row)
                count, following = len(running.rows), running if running.rows else None
            else:
                count, following = _pass_over(stream, receipt, opened), None
            if last is not None:
                yield last.finish(opened.writer, opened.options.raw)
            last = following
            if receipt is not None:
                yield receipt
            elif last is None:
                break
            row += count
    if done:
        raise _changed(opened, min(done).row)


def _pass_over(stream: RowStream, receipt: Receipt, opened: Source) -> int:
    """Read the rows of a finished chunk, compare them with its digest, and return their number."""
    rows = list(itertools.islice(stream.rows, receipt.tally.rows))
    if len(rows) != receipt.tally.rows or digest_rows(rows) != receipt.source:
        raise _changed(opened, receipt.row)
    return len(rows)


def _changed(opened: Source, first: int) -> ChangedError:
    return ChangedError(
        f"{opened.name}: the rows from {first} onwards have changed since the job began; restore the original file, or start over "
        "with --restart"
    )
