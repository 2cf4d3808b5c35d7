"""The Lambda handler answers every event with finite JSON or a named error, and a broken job is never a success."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pairlift.jobs.job
import pytest
from conftest import ROOT, SMALL_BUNDLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lambda_events import (
    GOOD,
    JOB,
    PAIRS,
    QUEUE_ARN,
    eventbridge_event,
    http_event,
    s3_event,
    s3_record,
    s3_test_event,
    sqs_event,
    sqs_record,
)
from lambda_runtime import LambdaRuntime
from moto import mock_aws
from pairlift import Scorer
from pairlift.aws import queue
from pairlift.aws.answer import MOST_BYTES
from pairlift.aws.deadline import COMMIT_BYTES_PER_SECOND, RESERVE_SECONDS, Deadline
from pairlift.aws.function import Function
from pairlift.aws.settings import Settings
from pairlift.encoding.counts import Tally
from pairlift.errors import InputError, PairliftError, StorageError, Unfinished, UsageError
from pairlift.inputs.options import JobOptions
from pairlift.jobs.progress import Step
from pairlift.outputs.outcome import Outcome
from pairlift.outputs.records import LastRun

SETTINGS = Settings(bundle=str(SMALL_BUNDLE), threads=1)
HOSTILE: list[tuple[Any, str]] = [
    ("a pair", "not_a_pair"),
    (["a"], "not_a_pair"),
    (["a", "b", "c"], "not_a_pair"),
    (None, "not_a_pair"),
    ([["a", "b"], "c"], "not_text"),
    ([None, "b"], "not_text"),
    (["a", 5], "not_text"),
    ({"hypothesis": "a"}, "missing_field"),
    ({"hypothesis": "a", "premise": None}, "not_text"),
    (["a\x00b", "c"], "nul"),
    (["a", "\ud800"], "lone_surrogate"),
]


@dataclasses.dataclass
class Context:
    """What Lambda tells of an invocation."""

    seconds: float = 60.0
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return int(1000 * self.seconds)


class Jobs:
    """In the place of `score_file`: jobs of four chunks, of which the done ones are remembered.

    Attributes:
        calls: What each call was given.
        done: Chunks done, by output.
        context: Whose time a chunk takes.
        seconds: How much it takes.
        errors: What a job of an input ends with.
    """

    def __init__(self, context: Context) -> None:
        self.calls: list[dict[str, Any]] = []
        self.done: dict[str, int] = {}
        self.context = context
        self.seconds = 1.0
        self.size = 1000
        self.errors: dict[str, Exception] = {}

    def score_file(self, scorer: Scorer, source: str, output: str, asked: JobOptions, **options: Any) -> Outcome:
        """Do what there is time for."""
        self.calls.append(
            {
                "input": source,
                "output": output,
                **{f.name: getattr(asked, f.name) for f in dataclasses.fields(asked)},
                **options,
            }
        )
        if source in self.errors:
            raise self.errors[source]
        progressed, done = False, self.done.get(output, 0)
        for chunk in range(done):
            options["progress"](Step(rows=10, rejected=chunk + 1, total=40, resumed=True))
        while self.done.get(output, 0) < 4:
            self.done[output] = self.done.get(output, 0) + 1
            self.context.seconds -= self.seconds
            progressed = True
            options["progress"](Step(rows=10, rejected=self.done[output], total=40))
            if not options["may_go_on"](0):
                raise Unfinished("time is short", rows=10 * self.done[output], progressed=True)
        if not options["may_go_on"](self.size):
            raise Unfinished("time is short", rows=40, progressed=progressed)
        totals = Tally(rows=40, scored=36, rejected={"not_text": 4})
        run = LastRun(resumed=0, seconds=1.0, rows_per_second=40.0, peak_memory=1, threads=1)
        return Outcome(totals=totals, last_run=run, finished=done == 4)


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """The small bundle's scorer."""
    opened = Scorer.open(SMALL_BUNDLE, threads=1)
    yield opened
    opened.close()


@pytest.fixture
def function(scorer: Scorer) -> Function:
    """The handler of a container that has just begun."""
    return Function(scorer, SETTINGS, 0.5)


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def jobs(context: Context, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs that take the context's time, of objects that are nobody's outputs."""
    made = Jobs(context)
    monkeypatch.setattr("pairlift.aws.invocation.explain_marked", lambda found: None)
    monkeypatch.setattr(pairlift.jobs.job, "score_file", made.score_file)
    return made


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of SQS that reaches nobody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        queue._client.cache_clear()
        yield boto3.client("sqs", region_name="eu-west-1")
    queue._client.cache_clear()


def receive(client: Any, url: str) -> list[dict[str, Any]]:
    """Return the messages of a queue."""
    found = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
    return list(found.get("Messages", []))


def read_entry(printed: str) -> dict[str, Any]:
    """Return the log's one line of an invocation."""
    lines = [line for line in printed.splitlines() if line.startswith('{"pairlift"')]
    assert len(lines) == 1, printed
    entry: dict[str, Any] = json.loads(lines[0])
    return entry


# --- Lambda's own runtime in a process ---


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaRuntime]:
    """A container that has the small bundle beside its code."""
    root, home = tmp_path_factory.mktemp("task"), tmp_path_factory.mktemp("home")
    environment = {"PAIRLIFT_BUNDLE": str(SMALL_BUNDLE), "HOME": str(home)}
    with LambdaRuntime(str(ROOT / "infer"), environment, root) as running:
        yield running
    assert [*root.rglob("*"), *home.rglob("*")] == [], "written outside /tmp"


def test_lambdas_runtime_scores_pairs_as_the_scorer_does(container: LambdaRuntime, scorer: Scorer) -> None:
    answer = container.invoke(PAIRS)
    expected = scorer.score([("a dog sleeps", "a dog is not awake"), ("a cat", "a red cat")])
    assert not answer.failed
    assert answer.value["labels"] == list(scorer.labels)
    assert (answer.value["bundle"], answer.value["variant"]) == (scorer.bundle.digest, "fp32")
    for result, row in zip(answer.value["results"], expected, strict=True):
        assert result["prediction"] == scorer.labels[int(row.argmax())]
        assert list(result["probabilities"]) == list(scorer.labels)
        for found, probability in zip(result["probabilities"].values(), row, strict=True):
            assert np.float32(found) == probability
            assert len(str(found)) <= 14, "more digits than a float32 has"


def test_lambdas_runtime_gives_a_bad_pair_an_error_of_its_own(container: LambdaRuntime) -> None:
    answer = container.invoke({"pairs": [item for item, _ in HOSTILE] + [["a", "b"]]})
    results = answer.value["results"]
    assert [result["error"]["reason"] for result in results[:-1]] == [reason for _, reason in HOSTILE]
    assert "prediction" in results[-1]


def test_lambdas_runtime_reports_each_malformed_event_by_name_and_goes_on(container: LambdaRuntime) -> None:
    for event in ({"sentences": []}, [], {"pairs": 5}, {**JOB, "input": "/etc/passwd"}, {"Records": [{"x": 1}]}):
        kind, message = container.invoke(event).error
        assert kind == "UsageError"
        assert "found" in message and "expected" in message
    assert container.invoke(b'{"pairs": [').error[0] == "Runtime.UnmarshalError"
    assert container.invoke({"x\ud800\nx": {}}).error[1].startswith(r"event: found 'x\ud800\nx', expected")
    assert container.invoke({"pairs": []}).value["results"] == []


def test_lambdas_runtime_serves_http_and_batches(container: LambdaRuntime) -> None:
    response = container.invoke(http_event(encoded=True)).value
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["results"] == container.invoke(PAIRS).value["results"]
    batch = container.invoke(sqs_event(sqs_record("{", "bad"), sqs_record(s3_test_event(), "test")))
    assert batch.value == {"batchItemFailures": [{"itemIdentifier": "bad"}]}


def test_lambdas_runtime_sends_what_is_just_small_enough_and_refuses_what_is_not(container: LambdaRuntime) -> None:
    one = len(container.invoke({"pairs": [["a", "b"]] * 2}).payload) - len(
        container.invoke({"pairs": [["a", "b"]]}).payload
    )
    most = MOST_BYTES // one
    fits = container.invoke({"pairs": [["a", "b"]] * (most - 3)})
    assert not fits.failed
    assert MOST_BYTES - 5 * one < len(fits.payload) <= MOST_BYTES
    kind, message = container.invoke({"pairs": [["a", "b"]] * (most + 1)}).error
    assert kind == "UsageError"
    assert "expected at most 6,291,456" in message


def test_lambdas_runtime_is_cold_once_and_logs_a_line_of_json_for_each_invocation(container: LambdaRuntime) -> None:
    before = len(container.read_entries())
    names = [container.invoke(event).request_id for event in (PAIRS, {"pairs": [["secret text", "\x00"]]})]
    entries = container.read_entries()
    assert [entry["request_id"] for entry in entries[before:]] == names
    assert [entry["cold"] for entry in entries].count(True) == 1
    assert entries[0]["cold"] and entries[0]["milliseconds"]["init"] > 0
    last = entries[-1]
    assert "init" not in last["milliseconds"]
    assert set(last["milliseconds"]) == {"parse", "score", "answer", "total"}
    assert (last["kind"], last["rows"], last["rejected"], last["failures"]) == ("pairs", 1, 1, [])
    assert 20 < last["peak_memory_mb"] < 2000
    assert "secret" not in container.read_log()


@pytest.mark.parametrize(
    ("environment", "kind", "message"),
    [
        ({"PAIRLIFT_BUNDLE": "nowhere"}, "InputError", "nowhere: no such bundle directory"),
        ({"PAIRLIFT_BUNDLE": str(SMALL_BUNDLE), "PAIRLIFT_VARIANT": "int8"}, "UsageError", "variant 'int8'"),
        ({"PAIRLIFT_BUNDLE": str(SMALL_BUNDLE), "PAIRLIFT_FIELDS": "a"}, "UsageError", "PAIRLIFT_FIELDS: "),
    ],
)
def test_a_container_that_cannot_score_says_why_when_it_begins(
    environment: dict[str, str], kind: str, message: str, tmp_path: Path
) -> None:
    with LambdaRuntime(str(ROOT / "infer"), environment, tmp_path) as running:
        found = running.wait_for_init_error()
    assert found[0] == kind
    assert message in found[1]


# --- pairs ---


def test_a_score_that_is_not_finite_is_that_pairs_error(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def logits(pairs: list[Any]) -> Any:
        return np.array([[0.5, 1, 2], [np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [3, 2, 1]], np.float32)

    monkeypatch.setattr(scorer, "logits", logits)
    answer = Function(scorer, SETTINGS)({"pairs": [["a", "b"]] * 5})
    reasons = [result.get("error", {}).get("reason") for result in answer["results"]]
    assert reasons == [None, "not_finite", "not_finite", "not_finite", None]
    assert answer["results"][4]["prediction"] == scorer.labels[0]


# --- HTTP ---


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (http_event(method="GET"), 405, "found 'GET', expected POST"),
        (http_event(""), 400, "body: not valid JSON"),
        (http_event("[1]"), 400, "body: found list, expected an object"),
        (http_event('{"pairs": [[NaN, "b"]]}'), 400, "body: not valid JSON"),
        (http_event('{"pairs": [["\\ud800", NaN]]}'), 400, "body: not valid JSON (NaN is not allowed)"),
        (http_event({"pairs": {}}), 400, "body.pairs: found dict, expected a list of pairs"),
        (http_event({"pairs": [], "x": 1}), 400, "body: unknown key 'x'"),
        ({**http_event(), "body": "\ud800"}, 400, "body: not valid JSON"),
        ({**http_event(encoded=True), "body": "%%%"}, 400, "body: not UTF-8 text in base64; expected JSON"),
        ({**http_event(encoded=True), "body": base64.b64encode(b"\xff{").decode()}, 400, "not UTF-8 text in base64"),
        (http_event(JOB), 403, "jobs are not run over HTTP"),
        (http_event({"pairs": [["a", "b"]] * 60000}), 413, "expected at most 6,291,456"),
    ],
)
def test_a_request_that_cannot_be_carried_out_gets_a_status_and_a_reason(
    event: dict[str, Any], status: int, message: str, function: Function, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    response = function(event, Context())
    assert response["statusCode"] == status
    assert response["headers"]["content-type"] == "application/json"
    assert ("allow" in response["headers"]) == (status == 405)
    body = json.loads(response["body"])
    assert list(body) == ["error"] and message in body["error"]
    assert jobs.calls == []
    assert read_entry(capsys.readouterr().out)["failures"][0].startswith(f"UsageError: HTTP {status}: ")


def test_a_lone_surrogate_in_a_request_is_one_pairs_error(function: Function) -> None:
    response = function(http_event('{"pairs": [["\\ud800", "b"], ["a", "b"]]}'), Context())
    first, second = json.loads(response["body"])["results"]
    assert first["error"]["reason"] == "lone_surrogate"
    assert "prediction" in second


def test_a_bug_is_a_status_without_a_traceback_and_a_traceback_in_the_log(
    scorer: Scorer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def logits(pairs: list[Any]) -> Any:
        raise KeyError("secret text")

    monkeypatch.setattr(scorer, "logits", logits)
    response = Function(scorer, SETTINGS)(http_event(), Context())
    assert response["statusCode"] == 500
    assert json.loads(response["body"]) == {"error": "internal error; the function's log says more"}
    assert read_entry(capsys.readouterr().out)["failures"] == ["internal error: KeyError"]
    assert "Traceback" in caplog.text


# --- jobs ---


def test_a_job_is_run_with_its_options_and_answered_with_its_counts(
    function: Function, jobs: Jobs, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = function({**JOB, "fields": "a,b", "max_rejects": 5, "quoting": "none", "raw": False}, context)
    assert answer == {**JOB, "rows": 40, "scored": 36, "rejected": {"not_text": 4}, "finished": False}
    call = jobs.calls[0]
    assert (call["fields"], call["most_rejects"].rows, call["quoting"], call["raw"]) == ("a,b", 5, "none", False)
    entry = read_entry(capsys.readouterr().out)
    assert (entry["kind"], entry["rows"], entry["rejected"], entry["cold"]) == ("job", 40, 4, True)
    assert entry["milliseconds"]["init"] == 500.0


def test_what_a_job_does_not_say_is_as_the_settings_have_it(scorer: Scorer, jobs: Jobs, context: Context) -> None:
    settings = dataclasses.replace(SETTINGS, fields="x,y", max_rejects="5%")
    Function(scorer, settings)(JOB, context)
    assert (jobs.calls[0]["fields"], jobs.calls[0]["most_rejects"].text) == ("x,y", "5%")


def test_a_broken_job_fails_with_the_storages_own_error_in_one_line(
    function: Function, jobs: Jobs, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.errors[JOB["input"]] = InputError("s3://in/a\nb: no such\ud800 object")
    with pytest.raises(InputError, match=r"^s3://in/a b: no such\\ud800 object$"):
        function(JOB, context)
    assert read_entry(capsys.readouterr().out)["failures"] == [r"InputError: s3://in/a b: no such\ud800 object"]


def test_objects_that_were_created_are_scored_and_our_own_are_not(
    function: Function, jobs: Jobs, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    event = s3_event(s3_record("a+b.csv"), s3_record("a.scores.csv"), s3_record("c.csv", "ObjectRemoved:Delete"))
    answer = function(event, context)
    assert answer == {
        "jobs": [
            {
                "input": "s3://in/a b.csv",
                "output": "s3://in/a b.scores.csv",
                "rows": 40,
                "scored": 36,
                "rejected": {"not_text": 4},
                "finished": False,
            }
        ]
    }
    assert read_entry(capsys.readouterr().out)["ignored"] == [
        "'ObjectRemoved:Delete'",
        "s3://in/a.scores.csv: an output",
    ]


def test_the_test_of_a_notification_is_answered_and_logged(
    function: Function, jobs: Jobs, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert function(s3_test_event(), context) == {"jobs": []}
    assert jobs.calls == []
    entry = read_entry(capsys.readouterr().out)
    assert (entry["kind"], entry["ignored"]) == ("test", ["s3:TestEvent"])


def test_an_object_that_is_no_file_of_pairs_fails_its_event(function: Function, jobs: Jobs, context: Context) -> None:
    with pytest.raises(UsageError, match=r"found extension '\.png'"):
        function(eventbridge_event("a.png"), context)
    assert jobs.calls == []


def test_the_other_jobs_of_an_event_are_done_when_one_fails(
    function: Function, jobs: Jobs, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.errors = {"s3://in/a.csv": InputError("a.csv: broken"), "s3://in/c.csv": KeyError("x")}
    with pytest.raises(InputError, match=r"a\.csv: broken"):
        function(s3_event(*(s3_record(f"{name}.csv") for name in "abcd")), context)
    assert [call["input"][-5:] for call in jobs.calls] == ["a.csv", "b.csv", "c.csv", "d.csv"]
    assert read_entry(capsys.readouterr().out)["failures"] == ["internal error: KeyError", "InputError: a.csv: broken"]


# --- batches ---


def test_each_message_fails_alone(
    function: Function,
    jobs: Jobs,
    context: Context,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs.errors = {"s3://in/broken.csv": StorageError("the bucket said no"), "s3://in/bug.csv": TypeError("x")}
    records = [
        sqs_record("{", "malformed"),
        sqs_record({**JOB, "input": "s3://in/broken.csv"}, "broken"),
        sqs_record({**JOB, "input": "s3://in/bug.csv"}, "bug"),
        sqs_record({**JOB, "input": "/etc/passwd"}, "foreign"),
        sqs_record(JOB, "job"),
        sqs_record(s3_event(), "s3"),
        sqs_record(eventbridge_event(), "eventbridge"),
        sqs_record(s3_test_event(), "test"),
        sqs_record(s3_event(s3_record("x.txt")), "text"),
    ]
    answer = function(sqs_event(*records), context)
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == [
        "malformed",
        "broken",
        "bug",
        "foreign",
        "text",
    ]
    assert [call["input"] for call in jobs.calls] == [
        "s3://in/broken.csv",
        "s3://in/bug.csv",
        JOB["input"],
        "s3://in/day/my pairsé.csv",
        "s3://in/day/my pairs+é.jsonl",
    ]
    failures = read_entry(capsys.readouterr().out)["failures"]
    assert failures[0].startswith("message malformed: UsageError: body: not valid JSON")
    assert failures[1:3] == [
        "message broken: StorageError: the bucket said no",
        "message bug: internal error: TypeError",
    ]
    assert len(failures) == 5
    assert caplog.text.count("Traceback") == 1


def test_a_job_that_time_is_too_short_for_goes_round_through_its_queue_until_it_is_done(
    function: Function, jobs: Jobs, context: Context, aws: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    url = aws.create_queue(QueueName="pairs")["QueueUrl"]
    event: dict[str, Any] = sqs_event(sqs_record({**JOB, "raw": False}))
    rows = []
    for done in (2, 4):
        context.seconds = RESERVE_SECONDS + 3.5
        jobs.size = int(1.6 * COMMIT_BYTES_PER_SECOND)  # more than is left when four chunks are done
        jobs.seconds = 2.0
        assert function(event, context) == {"batchItemFailures": []}
        assert jobs.done[JOB["output"]] == done
        entry = read_entry(capsys.readouterr().out)
        assert entry["continued"] == [f"{JOB['input']}: {10 * done} rows are done"]
        assert entry["failures"] == []
        rows.append((entry["rows"], entry["rejected"]))
        (message,) = receive(aws, url)
        assert json.loads(message["Body"]) == {**JOB, "raw": False}
        event = sqs_event(sqs_record(message["Body"], message["MessageId"]))
    assert rows == [(20, 2), (20, 2)]
    context.seconds = 60.0
    assert function(event, context) == {"batchItemFailures": []}
    assert receive(aws, url) == []
    entry = read_entry(capsys.readouterr().out)
    assert (entry["rows"], entry["continued"], jobs.calls[-1]["raw"]) == (0, [], False)


def test_a_commit_that_no_invocation_has_time_for_fails_and_does_not_go_round(
    function: Function, jobs: Jobs, context: Context, aws: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    url = aws.create_queue(QueueName="pairs")["QueueUrl"]
    jobs.done[JOB["output"]], jobs.size = 4, int(100 * COMMIT_BYTES_PER_SECOND)
    assert function(sqs_event(sqs_record(JOB)), context) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert "raise its timeout" in read_entry(capsys.readouterr().out)["failures"][0]
    assert receive(aws, url) == []
    with pytest.raises(UsageError, match=r"all 40 rows are done, .*raise its timeout"):
        function(JOB, context)


def test_messages_that_time_is_too_short_to_begin_are_sent_on_and_malformed_ones_fail(
    function: Function, jobs: Jobs, context: Context, aws: Any
) -> None:
    url = aws.create_queue(QueueName="pairs")["QueueUrl"]
    context.seconds = RESERVE_SECONDS + 0.5
    others = [{**JOB, "input": f"s3://in/{name}.csv"} for name in "ab"]
    event = sqs_event(
        sqs_record(JOB, "m-1"), sqs_record(others[0], "m-2"), sqs_record("{", "m-3"), sqs_record(others[1], "m-4")
    )
    assert function(event, context) == {"batchItemFailures": [{"itemIdentifier": "m-3"}]}
    assert [call["input"] for call in jobs.calls] == [JOB["input"]]
    assert jobs.done[JOB["output"]] == 1, "the first chunk is done however short time is"
    sent = sorted((json.loads(message["Body"]) for message in receive(aws, url)), key=lambda job: str(job["input"]))
    assert sent == sorted([JOB, *others], key=lambda job: str(job["input"]))


def test_a_message_whose_continuation_cannot_be_sent_fails(
    function: Function, jobs: Jobs, context: Context, aws: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    context.seconds = RESERVE_SECONDS
    event = sqs_event(sqs_record(JOB), sqs_record(JOB, "m-2", eventSourceARN="arn:aws:sqs"))
    assert len(function(event, context)["batchItemFailures"]) == 2
    first, second = read_entry(capsys.readouterr().out)["failures"]
    assert first.startswith(f"message m-1: StorageError: {QUEUE_ARN}: the message that continues the job could not")
    assert "sqs:SendMessage" in first
    assert second.startswith("message m-2: UsageError: eventSourceARN: found 'arn:aws:sqs', expected a queue's ARN")


def test_a_fifo_queue_gets_a_group_and_the_same_continuation_once(
    scorer: Scorer, jobs: Jobs, context: Context, aws: Any
) -> None:
    url = aws.create_queue(QueueName="pairs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    function = Function(scorer, dataclasses.replace(SETTINGS, queue=url))
    for name in ("m-1", "m-1", "m-2"):  # a message that comes twice, then its continuation
        context.seconds = RESERVE_SECONDS
        record = sqs_record(JOB, name, attributes={"MessageGroupId": "day"}, eventSourceARN=f"{QUEUE_ARN}.fifo")
        assert function(sqs_event(record), context) == {"batchItemFailures": []}
    sent = []
    while messages := receive(aws, url):
        sent += messages
        for message in messages:
            aws.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [message["Attributes"]["MessageGroupId"] for message in sent] == ["day", "day"]


@pytest.mark.parametrize("event", [JOB, s3_event(), eventbridge_event()], ids=["job", "s3", "eventbridge"])
def test_without_a_queue_a_job_that_is_not_finished_fails_with_the_advice_to_put_one_in_front(
    event: dict[str, Any], function: Function, jobs: Jobs, context: Context
) -> None:
    context.seconds = RESERVE_SECONDS
    with pytest.raises(Unfinished, match=r"10 rows are done, and .* is up; put an SQS queue in front") as found:
        function(event, context)
    assert (found.value.rows, found.value.progressed) == (10, True)


def test_events_without_a_queue_of_their_own_go_to_the_one_of_the_settings(
    scorer: Scorer, jobs: Jobs, context: Context, aws: Any
) -> None:
    url = aws.create_queue(QueueName="more")["QueueUrl"]
    function = Function(scorer, dataclasses.replace(SETTINGS, queue=url))
    context.seconds = RESERVE_SECONDS
    answer = function(s3_event(s3_record("a.csv"), s3_record("b.csv")), context)
    ends = [{"input": f"s3://in/{name}.csv", "output": f"s3://in/{name}.scores.csv"} for name in "ab"]
    assert answer == {"jobs": [{**end, "continued": True} for end in ends]}
    assert sorted(json.loads(message["Body"])["input"] for message in receive(aws, url)) == [
        end["input"] for end in ends
    ]
    with pytest.raises(Unfinished, match="put an SQS queue in front"):
        function({**JOB, "output": "s3://out/other.csv.gz"}, context)  # somebody waits for its answer


def test_there_is_time_for_a_chunk_twice_as_long_as_the_longest_so_far() -> None:
    now, left = [0.0], [100.0]
    deadline = Deadline(lambda: left[0], lambda: now[0])
    deadline.begin_job()
    now[0] = 30.0
    deadline.note(Step(rows=1, rejected=0, total=None, resumed=True))  # read again, not scored
    now[0] = 40.0
    deadline.note(Step(rows=1, rejected=0, total=None))
    left[0] = 20.1
    assert deadline.may_go_on(0)
    left[0] = 20.0
    assert not deadline.may_go_on(0)
    assert deadline.may_go_on(int(14.9 * COMMIT_BYTES_PER_SECOND))
    assert not deadline.may_go_on(int(15.1 * COMMIT_BYTES_PER_SECOND))


# --- anything ---

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["s3://a/b.csv", "aws:sqs"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def list_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in an event."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from list_places(each, (*path, name))


def mutate(event: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> None:
    inner = event
    for step in place[:-1]:
        inner = inner[step]
    change(inner, place[-1])


def list_bodies(event: Any) -> list[dict[str, Any]]:
    """Return what has a body of JSON in an event."""
    if not isinstance(event, dict):
        return []
    records = event.get("Records")
    found = [*records] if isinstance(records, list) else [event] if event.get("isBase64Encoded") is False else []
    return [each for each in found if isinstance(each, dict) and "body" in each]


@st.composite
def mutated_events(draw: st.DrawFn) -> Any:
    """An event with one or two of its values taken out or replaced, in the body of a message or a request too."""
    event = GOOD[draw(st.sampled_from(sorted(GOOD)))]()
    for _ in range(draw(st.integers(1, 2))):
        holder = event
        bodies = list_bodies(event)
        inside = bool(bodies) and draw(st.booleans())
        if inside:
            holder = draw(st.sampled_from(bodies))
            try:
                value = json.loads(holder["body"])
            except (TypeError, ValueError, KeyError):
                continue
        else:
            value = event
        place = draw(st.sampled_from(list(list_places(value))))
        new = draw(JSON)
        if not place:
            value = new
        elif draw(st.booleans()):
            mutate(value, place, lambda inner, name: inner.pop(name))
        else:
            mutate(value, place, lambda inner, name, new=new: inner.__setitem__(name, new))
        if inside:
            holder["body"] = json.dumps(value)
        else:
            event = value
    return event


def check_answer(event: Any, answer: Any) -> None:
    """Hold an answer to what its event may have."""
    json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
    if "results" in answer:
        assert len(answer["results"]) == len(event["pairs"])
        for result in answer["results"]:
            assert ("error" in result) != ("prediction" in result)
    elif "statusCode" in answer:
        assert answer["statusCode"] in (200, 400, 403, 405, 413)
        assert ("results" in json.loads(answer["body"])) == (answer["statusCode"] == 200)
    elif "batchItemFailures" in answer:
        names = [record["messageId"] for record in event["Records"]]
        assert set(answer) == {"batchItemFailures"}
        assert all(item["itemIdentifier"] in names for item in answer["batchItemFailures"])
    elif "jobs" in answer:
        assert set(answer) == {"jobs"}
        assert "Records" in event or "detail-type" in event or "Event" in event
    else:
        assert (answer["input"], answer["output"], answer["rows"]) == (event["input"], event["output"], 40)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(event=mutated_events())
def test_any_event_at_all_is_answered_or_refused_by_name(event: Any, scorer: Scorer) -> None:
    jobs = Jobs(Context(1e6))
    before = copy.deepcopy(event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairlift.jobs.job, "score_file", jobs.score_file)
        patch.setattr("pairlift.aws.invocation.explain_marked", lambda found: None)
        try:
            answer = Function(scorer, SETTINGS)(event, jobs.context)
        except PairliftError as error:
            text = str(error)
            assert text and "\n" not in text
            text.encode()
        else:
            check_answer(before, answer)
    for call in jobs.calls:
        assert call["input"].startswith("s3://") and call["output"].startswith("s3://")


def test_a_message_is_a_success_only_when_its_job_was_done(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    for _ in range(40):
        jobs = Jobs(Context(1e6))
        monkeypatch.setattr(pairlift.jobs.job, "score_file", jobs.score_file)
        names = [f"m-{i}" for i in range(rng.randrange(1, 8))]
        records = []
        for name in names:
            job = {"input": f"s3://in/{name}.csv", "output": f"s3://out/{name}.csv"}
            kind = rng.choice(["good", "broken", "malformed", "foreign"])
            if kind == "broken":
                jobs.errors[job["input"]] = rng.choice([StorageError("no"), ValueError("x"), RecursionError()])
            body = {"malformed": "{", "foreign": json.dumps({**job, "output": "x.csv"})}.get(kind, json.dumps(job))
            records.append(sqs_record(body, name))
        failed = {
            item["itemIdentifier"] for item in Function(scorer, SETTINGS)(sqs_event(*records))["batchItemFailures"]
        }
        done = {
            output.removeprefix("s3://out/").removesuffix(".csv") for output, chunks in jobs.done.items() if chunks == 4
        }
        assert done | failed == set(names)
        assert not done & failed


def test_the_handler_is_made_once_however_often_it_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import pairlift.aws

    monkeypatch.setenv("PAIRLIFT_BUNDLE", str(SMALL_BUNDLE))
    monkeypatch.delitem(vars(pairlift.aws), "handler", raising=False)
    assert pairlift.aws.handler is pairlift.aws.handler
    assert "prediction" in pairlift.aws.handler(PAIRS)["results"][0]
    pairlift.aws.handler._scorer.close()
    monkeypatch.delitem(vars(pairlift.aws), "handler")
    with pytest.raises(AttributeError, match="has no attribute 'handle'"):
        _ = pairlift.aws.handle
