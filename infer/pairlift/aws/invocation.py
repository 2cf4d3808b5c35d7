"""Invocation: does jobs one after another while there is time, and sends unfinished ones to the queue."""

from __future__ import annotations

import dataclasses
from typing import Any

from pairlift.aws.deadline import Deadline
from pairlift.aws.events import Message, MessageBatch, ObjectEvent, StoredObject, read_message
from pairlift.aws.jobs import ObjectJob, describe_job, run_job
from pairlift.aws.log import LogEntry
from pairlift.aws.objects import explain_ignored, explain_marked, make_job
from pairlift.aws.queue import Queue
from pairlift.aws.settings import Settings
from pairlift.errors import Unfinished, UsageError
from pairlift.model.scorer import Scorer
from pairlift.outputs.outcome import Outcome

ADVICE = "put an SQS queue in front of the function, or send the same event again to continue"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The queue that an event's unfinished jobs are sent to, and a name that identifies the event's messages."""

    queue: Queue
    name: str


class Invocation:
    """The jobs of one invocation."""

    def __init__(self, scorer: Scorer, settings: Settings, deadline: Deadline, entry: LogEntry) -> None:
        self._scorer = scorer
        self._settings = settings
        self._deadline = deadline
        self._entry = entry

    def do_job(self, job: ObjectJob) -> dict[str, Any]:
        """Do a job that the caller waits for.

        Raises:
            PairliftError: As `score_file`; `Unfinished` with advice. (The job is not sent to a queue, because the
                caller would not learn when it is finished.)
        """
        try:
            return describe_job(job, self._run(job))
        except Unfinished as error:
            raise _advise(job, error.rows) from error

    def do_event(self, event: ObjectEvent) -> dict[str, Any]:
        """Do the jobs of an event that did not come through a queue.

        Raises:
            PairliftError: A job failed; the others were still done.
        """
        queue = Queue(url=self._settings.queue) if self._settings.queue else None
        sender = Sender(queue=queue, name=self._entry.request_id) if queue else None
        return {"jobs": self._do_event(event, sender)}

    def do_batch(self, batch: MessageBatch) -> dict[str, Any]:
        """Do the jobs of messages, and return the messages that failed; Lambda deletes the others from the queue."""
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
        queue = Queue(url=self._settings.queue, arn=message.queue, group=message.group)
        sender = Sender(queue=queue, name=message.id)
        if isinstance(asked, ObjectJob):
            self._do_or_send(asked, sender, 0)
        else:
            self._do_event(asked, sender)

    def _do_event(self, event: ObjectEvent, sender: Sender | None) -> list[dict[str, Any]]:
        """Do the jobs of all of an event's objects, even if some fail; then raise the first error."""
        for what in event.others:
            self._entry.ignore(what)
        done: list[dict[str, Any]] = []
        errors: list[Exception] = []
        for i, found in enumerate(event.created):
            try:
                with self._entry.stage("parse"):
                    job = self._find_job(found)
                if job is not None:
                    done.append(self._do_or_send(job, sender, i))
            except Exception as error:
                errors.append(error)
        for other in errors[1:]:
            self._entry.fail(other)
        if errors:
            raise errors[0]
        return done

    def _find_job(self, found: StoredObject) -> ObjectJob | None:
        """Return the job of an object, or None if the object is not an input."""
        reason = explain_ignored(found, self._settings) or explain_marked(found)
        if reason:
            self._entry.ignore(f"{found.url}: {reason}")
            return None
        return make_job(found, self._settings)

    def _do_or_send(self, job: ObjectJob, sender: Sender | None, number: int) -> dict[str, Any]:
        """Do a job and return its answer; send it to the queue if another invocation has to continue it."""
        rows = 0
        if self._deadline.may_begin():
            try:
                return describe_job(job, self._run(job))
            except Unfinished as error:
                rows = error.rows
        if sender is None:
            raise _advise(job, rows)
        sender.queue.send(job.dump(), f"{sender.name} {number}")
        self._entry.send_on(f"{job.input}: {rows} rows are done")
        return {"input": job.input, "output": job.output, "continued": True}

    def _run(self, job: ObjectJob) -> Outcome:
        """Do a job.

        Raises:
            Unfinished: Another invocation can continue the job.
            UsageError: None can: this invocation had the whole time for the job, and no chunk was left to do.
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
                f"{job.input}: all {error.rows} rows are done, but the function's timeout is too short to assemble the "
                "output; raise its timeout"
            ) from error
        finally:
            self._entry.rows, self._entry.rejected = self._deadline.rows, self._deadline.rejected


def _advise(job: ObjectJob, rows: int) -> Unfinished:
    return Unfinished(
        f"{job.input}: {rows} rows are done, and the function's time is up; {ADVICE}",
        rows=rows,
        progressed=True,
    )
