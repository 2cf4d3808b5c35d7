"""The function: an event in, an answer out; a failed job raises an error, a bad row does not."""

from __future__ import annotations

import os
import time
from typing import Any

from pairlift.aws.answer import MOST_BYTES, check_answer, explain_size, measure_answer
from pairlift.aws.deadline import open_deadline
from pairlift.aws.events import MessageBatch, ObjectEvent, Request, read_event
from pairlift.aws.http import HttpRequest, Refusal, read_body, respond
from pairlift.aws.jobs import ObjectJob
from pairlift.aws.log import LogEntry, flatten
from pairlift.aws.pairs import PairsRequest, score_pairs
from pairlift.aws.settings import Settings, read_settings
from pairlift.errors import PairliftError, UsageError
from pairlift.formats.fields import map_fields
from pairlift.model.golden import FIRST_ROWS, replay
from pairlift.model.scorer import Scorer


def load_function(started: float) -> Function:
    """Load the bundle, and check the first golden pairs on this machine.

    Args:
        started: When the container began to start, by `time.monotonic`.

    Raises:
        UsageError: A setting has an invalid value.
        BundleError: The bundle is refused.
        AgreementError: The scores on this machine differ from those of the golden pairs.
    """
    try:
        settings = read_settings(os.environ)
        scorer = Scorer.open(settings.bundle, settings.variant, settings.threads)
        try:
            map_fields(settings.fields, scorer.bundle.manifest.fields)
        except UsageError as error:
            raise UsageError(f"PAIRLIFT_FIELDS: {error}") from None
        replay(scorer, FIRST_ROWS)
    except PairliftError as error:
        flatten(error)
        raise
    return Function(scorer, settings, time.monotonic() - started)


class Function:
    """The handler of one container."""

    def __init__(self, scorer: Scorer, settings: Settings, init_seconds: float = 0.0) -> None:
        self._scorer = scorer
        self._settings = settings
        self._init_seconds: float | None = init_seconds

    def __call__(self, event: object, context: Any = None) -> dict[str, Any]:
        """Answer an event.

        Args:
            event: An event in any shape that `read_event` supports.
            context: Lambda's context object; without it there is no deadline.

        Returns:
            JSON values, finite, of at most 6 MB.

        Raises:
            PairliftError: The request failed; the message is one line.
        """
        entry = LogEntry(str(getattr(context, "aws_request_id", None) or ""), self._init_seconds)
        self._init_seconds = None
        try:
            with entry.stage("parse"):
                request = read_event(event)
            entry.kind = request.kind
            return self._answer(request, context, entry)
        except PairliftError as error:
            flatten(error)
            entry.fail(error)
            raise
        except Exception as error:
            entry.fail(error)
            raise
        finally:
            entry.write()

    def _answer(self, request: Request, context: Any, entry: LogEntry) -> dict[str, Any]:
        if isinstance(request, HttpRequest):
            return self._serve(request, entry)
        answer = (
            self._score(request, entry) if isinstance(request, PairsRequest) else self._work(request, context, entry)
        )
        with entry.stage("answer"):
            return check_answer(answer)

    def _work(self, request: ObjectJob | ObjectEvent | MessageBatch, context: Any, entry: LogEntry) -> dict[str, Any]:
        from pairlift.aws.invocation import Invocation

        work = Invocation(self._scorer, self._settings, open_deadline(context), entry)
        if isinstance(request, ObjectJob):
            return work.do_job(request)
        return work.do_event(request) if isinstance(request, ObjectEvent) else work.do_batch(request)

    def _score(self, request: PairsRequest, entry: LogEntry) -> dict[str, Any]:
        with entry.stage("score"):
            answer = score_pairs(self._scorer, request)
        entry.rows, entry.rejected = len(answer.results), answer.rejected
        return answer.dump()

    def _serve(self, request: HttpRequest, entry: LogEntry) -> dict[str, Any]:
        """Return the response to a request; an error becomes a response too."""
        try:
            with entry.stage("parse"):
                asked = read_body(request)
            if isinstance(asked, Refusal):
                return _refuse(asked, entry)
            answer = self._score(asked, entry)
            with entry.stage("answer"):
                response = respond(200, answer)
                size = measure_answer(response)
            return response if size <= MOST_BYTES else _refuse(Refusal(status=413, reason=explain_size(size)), entry)
        except Exception as error:
            entry.fail(error)
            return respond(500, {"error": "internal error; the function's log says more"})


def _refuse(refusal: Refusal, entry: LogEntry) -> dict[str, Any]:
    entry.fail(UsageError(f"HTTP {refusal.status}: {refusal.reason}"))
    return refusal.respond()
