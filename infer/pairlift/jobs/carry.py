"""Carry out a job: report it as finished, or begin or continue, run and commit it; and handle its failure."""

from __future__ import annotations

from typing import Protocol

from pairlift.errors import ChangedError, DestinationError, InputError, Stopped, StorageError
from pairlift.formats.row import Writer
from pairlift.inputs.rejects import MostRejects
from pairlift.outputs.identity import Identity
from pairlift.outputs.ledger import Ledger
from pairlift.outputs.outcome import Outcome
from pairlift.outputs.output import Output
from pairlift.outputs.receipts import DamagedError
from pairlift.outputs.records import JobManifest, LastRun

MOST_REPAIRS = 3  # how often one run computes damaged chunks again
TWIN_ERRORS = (DestinationError, StorageError, ChangedError)


class Work(Protocol):
    """The work of a job.

    Attributes:
        labels: Label names, in the order of the probabilities.
        resumable: Whether another process can continue from the finished chunks.
        most_rejects: How many rows may be rejected; None for any number.
    """

    labels: tuple[str, ...]
    resumable: bool
    most_rejects: MostRejects | None

    @property
    def writer(self) -> Writer:
        """The writer of the output."""
        ...

    def prepare(self) -> None:
        """Check that the work can be done, before anything is written."""
        ...

    def run(self, ledger: Ledger) -> LastRun:
        """Score the chunks that are not done."""
        ...


def carry_out(where: Output, identity: Identity, work: Work, *, restart: bool = False, force: bool = False) -> Outcome:
    """Carry out a job; raises the same errors as `score_file`.

    Args:
        where: The output.
        identity: The identity of the job.
        work: Scores the chunks.
        restart: Start over, and discard the chunks of an unfinished job.
        force: Replace an output that another job has made.
    """
    where.settle()
    manifest = where.find_finished(identity, force)
    if manifest is not None:
        where.clean(manifest)
        return _finished(manifest, work)
    work.prepare()
    with where.open(identity, restart=restart, force=force, resumable=work.resumable) as ledger:
        if ledger is None:  # another process finished it since `find_finished`
            return _finished(where.find_finished(identity), work)
        try:
            last_run, manifest = _run_and_commit(ledger, work)
        except BaseException as error:
            twin = _find_twin(where, identity) if isinstance(error, TWIN_ERRORS) else None
            _let_go(ledger, where, work, error, twin)
            if twin is None:
                raise
            return _finished(twin, work)
        ledger.leave()
        where.tidy(manifest)
        return Outcome(totals=manifest.totals, last_run=last_run, manifest=manifest, redone=ledger.redone)


def _run_and_commit(ledger: Ledger, work: Work) -> tuple[LastRun, JobManifest]:
    repairs = 0
    while True:
        last_run = work.run(ledger)
        try:
            return last_run, ledger.commit(work.writer, work.labels, last_run)
        except DamagedError as error:
            repairs += 1
            if repairs > MOST_REPAIRS or not work.resumable:
                raise StorageError(f"{error}; check the storage, then run the same command again") from error
            ledger.drop(error.keys)


def _let_go(ledger: Ledger, where: Output, work: Work, error: BaseException, twin: JobManifest | None) -> None:
    """After a failure, keep the finished chunks if the job can continue from them; otherwise remove them."""
    if twin is not None and twin.mark == ledger.job.mark:
        ledger.leave()
    elif twin is not None or _is_lost(where, work, error, ledger):
        ledger.discard()
    if not work.resumable and isinstance(error, Stopped):
        raise Stopped(error.number, "a job that reads standard input cannot be resumed; start over") from None


def _is_lost(where: Output, work: Work, error: BaseException, ledger: Ledger) -> bool:
    """Return whether no other process can continue from the finished chunks.

    If another job has made the output meanwhile, the parts of this job are among the parts of that one, so they are
    lost. The chunks of one file can still be used as long as this is the current job.
    """
    if isinstance(error, InputError) and not error.passing:
        return True
    if isinstance(error, DestinationError) and not where.locked:
        return where.names.whole or not ledger.is_at_work()
    return not work.resumable


def _find_twin(where: Output, identity: Identity) -> JobManifest | None:
    """Return the manifest of the same job if another process has finished it meanwhile. Errors of storage are raised."""
    try:
        return where.find_finished(identity)
    except DestinationError:
        return None


def _finished(manifest: JobManifest | None, work: Work) -> Outcome:
    if manifest is None:
        raise DestinationError("the output was made by another process and removed again; run the same command again")
    if work.most_rejects is not None:
        totals = manifest.totals
        work.most_rejects.check(totals.rejected, totals.rows, "fix the input, or allow more", final=True)
    return Outcome(totals=manifest.totals, last_run=manifest.last_run, manifest=manifest, finished=True)
