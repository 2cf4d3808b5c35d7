"""Work: jobs done one after the other, for as long as there is time; what is not finished then goes to the queue."""

from __future__ import annotations

import dataclasses
from typing import Any

from pairlift.aws.deadline import Deadline
from pairlift.aws.events import Batch, Message, ObjectEvent, read_message
from pairlift.aws.jobs import ObjectJob, describe_job, run_job
from pairlift.aws.log import LogEntry
from pairlift.aws.objects import explain_ignored, make_job
from pairlift.aws.queue import Queue
from pairlift.aws.settings import Settings
from pairlift.errors import Unfinished, UsageError
from pairlift.outcome import Outcome
from pairlift.scorer import Scorer

ADVICE = "put an SQS queue in front of the function, or send the same event again: what is done is kept"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The queue that an event's jobs are sent on to, and what tells their messages from those of other events."""

    queue: Queue
    name: str


class Work:
    """The jobs of one invocation."""

    def __init__(self, scorer: Scorer, settings: Settings, deadline: Deadline, entry: LogEntry) -> None:
        self._scorer = scorer
        self._settings = settings
        self._deadline = deadline
        self._entry = entry

    def do_job(self, job: ObjectJob) -> dict[str, Any]:
        """Do the job that the caller waits for.

        Raises:
            PairliftError: As `score_file`; `Unfinished` with the advice what to do, for nobody would tell the caller when it
                is finished.
        """
        try:
            return describe_job(job, self._run(job))
        except Unfinished as error:
            raise _advise(job, error.rows) from error

    def do_event(self, event: ObjectEvent) -> dict[str, Any]:
        """Do the jobs of an event that came without a queue.

        Raises:
            PairliftError: One of them failed; the others were done all the same.
        """
        queue = Queue(url=self._settings.queue) if self._settings.queue else None
        sender = Sender(queue=queue, name=self._entry.request_id) if queue else None
        with self._entry.stage("parse"):
            jobs = self._find_jobs(event)
        return {"jobs": self._do_all(jobs, sender)}

    def do_batch(self, batch: Batch) -> dict[str, Any]:
        """Do the jobs of messages, and return those that failed; the others are deleted by that."""
        failed = []
        for message in batch.messages:
            try:
                self._do_message(message)
            except Exception as error:
                self._entry.fail(error, f"message {message.id}")
                failed.append({"itemIdentifier": message.id})
        return {"batchItemFailures": failed}

    def _do_message(self, message: Message) -> None:
        with self._entry.stage("parse"):
            asked = read_message(message)
            jobs = [asked] if isinstance(asked, ObjectJob) else self._find_jobs(asked)
        queue = Queue(url=self._settings.queue, arn=message.queue, group=message.group)
        self._do_all(jobs, Sender(queue=queue, name=message.id))

    def _find_jobs(self, event: ObjectEvent) -> list[ObjectJob]:
        """Return the jobs of the objects that are inputs."""
        for other in event.others:
            self._entry.ignore(other)
        jobs = []
        for found in event.created:
            reason = explain_ignored(found, self._settings)
            if reason:
                self._entry.ignore(f"{found.url}: {reason}")
            else:
                jobs.append(make_job(found, self._settings))
        return jobs

    def _do_all(self, jobs: list[ObjectJob], sender: Sender | None) -> list[dict[str, Any]]:
        """Do jobs, all of them whatever becomes of each; then raise the first error."""
        done: list[dict[str, Any]] = []
        errors: list[Exception] = []
        for i, job in enumerate(jobs):
            try:
                outcome = self._do_or_send(job, sender, i)
                done.append(
                    {"input": job.input, "output": job.output, "continued": True}
                    if outcome is None
                    else describe_job(job, outcome)
                )
            except Exception as error:
                errors.append(error)
        for other in errors[1:]:
            self._entry.fail(other)
        if errors:
            raise errors[0]
        return done

    def _do_or_send(self, job: ObjectJob, sender: Sender | None, number: int) -> Outcome | None:
        """Return what became of a job, or None when it was sent on, which is done only where that brings it further."""
        rows = 0
        if self._deadline.may_begin():
            try:
                return self._run(job)
            except Unfinished as error:
                rows = error.rows
        if sender is None:
            raise _advise(job, rows)
        sender.queue.send(job.dump(), f"{sender.name} {number}")
        self._entry.send_on(f"{job.input}: {rows} rows are done")
        return None

    def _run(self, job: ObjectJob) -> Outcome:
        """Do a job.

        Raises:
            Unfinished: Another invocation can bring it further.
            UsageError: None could: this one had all the time there is, and no chunk was left to do.
            PairliftError: As `score_file`.
        """
        first = self._deadline.first
        self._deadline.begin_job()
        try:
            with self._entry.stage("score"):
                return run_job(self._scorer, job, self._settings, self._deadline)
        except Unfinished as error:
            if not first or error.progressed:
                raise
            raise UsageError(
                f"{job.input}: all {error.rows} rows are done, and the time that this function has is too short to join them "
                "into the output; raise its timeout"
            ) from error
        finally:
            self._entry.rows, self._entry.rejected = self._deadline.rows, self._deadline.rejected


def _advise(job: ObjectJob, rows: int) -> Unfinished:
    return Unfinished(
        f"{job.input}: {rows} rows are done, and the time that this function has is up; {ADVICE}",
        rows=rows,
        progressed=True,
    )
