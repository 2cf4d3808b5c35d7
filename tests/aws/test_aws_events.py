"""An event of Lambda is read for what it asks, and one that is malformed is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lambda_events import (
    GOOD,
    JOB,
    eventbridge_event,
    http_event,
    s3_event,
    s3_record,
    s3_test_event,
    sqs_event,
    sqs_record,
)
from pairlift.aws.events import MessageBatch, ObjectEvent, StoredObject, read_event, read_message
from pairlift.aws.http import HttpRequest
from pairlift.aws.jobs import ObjectJob, read_job
from pairlift.aws.objects import explain_ignored, make_job
from pairlift.aws.settings import Settings, read_settings
from pairlift.errors import UsageError
from pairlift.model.session import count_threads

BESIDE = Settings(bundle="bundle")
ELSEWHERE = Settings(bundle="bundle", output="s3://out/scored/")
ANYTHING: list[Any] = [None, 5, 0.5, True, "", "x", [], ["x"], {}, {"x": 1}]

# What an event must have, in the place it has it: without it, or with another type, nothing is done.
NEEDED = {
    "pairs": [("pairs",)],
    "job": [("input",), ("output",), ("fields",), ("max_rejects",), ("quoting",), ("raw",)],
    "http": [
        ("version",),
        ("requestContext", "http"),
        ("requestContext", "http", "method"),
        ("body",),
        ("isBase64Encoded",),
    ],
    "s3": [
        ("Records", 0, "eventSource"),
        ("Records", 0, "eventName"),
        ("Records", 0, "s3"),
        ("Records", 0, "s3", "bucket"),
        ("Records", 0, "s3", "bucket", "name"),
        ("Records", 0, "s3", "object"),
        ("Records", 0, "s3", "object", "key"),
    ],
    "s3-test": [("Event",)],
    "eventbridge": [
        ("source",),
        ("detail-type",),
        ("detail",),
        ("detail", "bucket"),
        ("detail", "bucket", "name"),
        ("detail", "object"),
        ("detail", "object", "key"),
    ],
    "sqs-job": [("Records",), ("Records", 0), ("Records", 0, "messageId"), ("Records", 0, "eventSource")],
}


def spoil(event: Any, place: tuple[str | int, ...]) -> Iterator[Any]:
    """Yield an event with something of another type in a place, for each type that was not there."""
    for value in ANYTHING:
        spoilt = copy.deepcopy(event)
        inner = spoilt
        for step in place[:-1]:
            inner = inner[step]
        if type(inner[place[-1]]) is not type(value):
            inner[place[-1]] = value
            yield spoilt


def one_line(error: BaseException) -> str:
    """Return an error's message, which is to be short enough to be read."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 700, text
    return text


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in NEEDED.items() for place in places])
def test_another_type_where_an_event_is_read_is_a_usage_error(name: str, place: tuple[str | int, ...]) -> None:
    count = 0
    for event in spoil(GOOD[name](), place):
        # A body may be absent, an integer is a bound of rejects, and a name that is no ObjectCreated is another event.
        if place == ("body",) and event["body"] is None:
            continue
        if place == ("max_rejects",) and type(event["max_rejects"]) is int:
            continue
        with pytest.raises(UsageError, match=r"found|unknown") as found:
            read_event(event)
        one_line(found.value)
        count += 1
    assert count >= 6


@pytest.mark.parametrize("event", [None, 5, "text of somebody", [], [["a", "b"]], True, float("nan")])
def test_an_event_that_is_no_object_is_named_by_its_type_and_never_quoted(event: object) -> None:
    with pytest.raises(UsageError) as found:
        read_event(event)
    assert one_line(found.value).startswith(f"event: found {type(event).__name__}, expected ")
    assert "somebody" not in str(found.value)


def test_an_unknown_event_is_named_by_its_keys() -> None:
    with pytest.raises(
        UsageError, match=r"^event: found 'sentences', 'other', expected \{\"pairs\": \[…\]\}, \{\"input\""
    ):
        read_event({"sentences": [["secret text", "b"]], "other": 1})


def test_pairs_of_another_type_are_not_quoted() -> None:
    with pytest.raises(UsageError, match=r"^event\.pairs: found str, expected a list of pairs$"):
        read_event({"pairs": "secret text"})


@pytest.mark.parametrize(
    ("event", "key"), [({"pairs": [], "variant": "int8"}, "variant"), ({**JOB, "Fields": "a,b"}, "Fields")]
)
def test_an_unknown_key_of_a_request_is_refused_by_its_name(event: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=f"^event: unknown key '{key}'; expected "):
        read_event(event)


@pytest.mark.parametrize("url", ["/proc/self/environ", "pairs.csv", "-", "file:///etc/passwd", "S3://in/a.csv", "s3:/in/a.csv", "s3://", "s3://in", "s3://in/", "s3:///a.csv", "s3://in//", "s3://in/\ud800.csv", "s3://i n/a.csv", f"s3://in/{'é' * 600}.csv"])  # fmt: skip
@pytest.mark.parametrize("end", ["input", "output"])
def test_a_job_reads_and_writes_objects_of_s3_and_nothing_else(url: str, end: str) -> None:
    with pytest.raises(UsageError, match=rf"^event\.{end}: found ") as found:
        read_event({**JOB, end: url})
    one_line(found.value)


def test_a_job_that_would_write_over_its_input_is_refused() -> None:
    with pytest.raises(UsageError, match="same as the input, which would be overwritten"):
        read_event({"input": "s3://in/a.csv", "output": "s3://in/a.csv"})


@pytest.mark.parametrize("bound", [-1, 10**13, "x", "101%", "1e99999999%", "5.5", True, 2.5, "٣"])
def test_a_bound_of_rejects_that_is_none_is_refused(bound: object) -> None:
    with pytest.raises(UsageError, match=r"max_rejects|max-rejects"):
        read_event({**JOB, "max_rejects": bound})


def test_a_job_written_as_json_is_read_as_the_same_job() -> None:
    for job in (JOB, GOOD["job"](), {**JOB, "max_rejects": 7}):
        read = read_job(job, "event")
        message = read_event(sqs_event(sqs_record(read.dump())))
        assert isinstance(message, MessageBatch)
        assert read_message(message.messages[0]) == read


def test_keys_of_s3_are_decoded_and_those_of_eventbridge_are_not() -> None:
    of_s3, of_bridge = read_event(s3_event()), read_event(eventbridge_event())
    assert of_s3 == ObjectEvent(kind="s3", created=(StoredObject(bucket="in", key="day/my pairsé.csv"),))
    assert of_bridge == ObjectEvent(
        kind="eventbridge", created=(StoredObject(bucket="in", key="day/my pairs+é.jsonl"),)
    )


def test_a_key_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UsageError, match=r"s3\.object\.key: found 'a%FF\.csv', expected UTF-8 in URL encoding"):
        read_event(s3_event(s3_record("a%FF.csv")))


def test_only_created_objects_are_scored_and_the_others_are_told() -> None:
    event = s3_event(
        s3_record("a.csv", "ObjectRemoved:Delete"), s3_record("b.csv", "ObjectCreated:CompleteMultipartUpload")
    )
    assert read_event(event) == ObjectEvent(
        kind="s3", created=(StoredObject(bucket="in", key="b.csv"),), others=("'ObjectRemoved:Delete'",)
    )
    assert read_event(eventbridge_event(name="Object Deleted")) == ObjectEvent(
        kind="eventbridge", others=("'Object Deleted'",)
    )
    assert read_event(s3_test_event()) == ObjectEvent(kind="test", others=("s3:TestEvent",))


def test_a_batch_of_two_sources_is_refused_whole() -> None:
    with pytest.raises(
        UsageError, match=r"eventSource: found 'aws:sqs', expected 'aws:s3', or 'aws:sqs' in all records"
    ):
        read_event({"Records": [s3_record(), sqs_record(JOB)]})


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"x"', "{}", '{"pairs": []}', '{"Records": []}', '{"input": NaN}', '{"Event": "other"}', "\ud800", "[" * 5000, '{"x": "\\ud800"}', '{"x": "\\ud800", "y": NaN}'])  # fmt: skip
def test_a_body_that_is_neither_a_job_nor_an_event_of_s3_is_refused(body: str) -> None:
    batch = read_event(sqs_event(sqs_record(body)))
    assert isinstance(batch, MessageBatch)
    with pytest.raises(UsageError, match=r"^body") as found:
        read_message(batch.messages[0])
    one_line(found.value)


def test_a_batch_is_read_whatever_its_bodies_are() -> None:
    batch = read_event(sqs_event(sqs_record("{", "bad"), sqs_record(JOB, "good", attributes={"MessageGroupId": "g"})))
    assert isinstance(batch, MessageBatch)
    assert [(m.id, m.group) for m in batch.messages] == [("bad", None), ("good", "g")]
    without = sqs_record(JOB)
    del without["body"]
    message = read_event(sqs_event(without))
    assert isinstance(message, MessageBatch)
    with pytest.raises(UsageError, match=r"^body: found null, expected a string$"):
        read_message(message.messages[0])


def test_a_request_of_another_payload_format_is_told_which_one_is_expected() -> None:
    old = {"resource": "/", "httpMethod": "POST", "requestContext": {}, "body": "{}", "version": "1.0"}
    with pytest.raises(UsageError, match=r"^event\.version: found '1\.0', expected '2\.0'"):
        read_event(old)
    assert read_event(http_event("")) == HttpRequest(method="POST", body="", encoded=False)


@pytest.mark.parametrize(
    ("key", "output"),
    [
        ("a.csv", "a.scores.csv"),
        ("in/a.csv.gz", "in/a.scores.csv.gz"),
        ("in/a.b.TSV.Zst", "in/a.b.scores.TSV.Zst"),
        ("in.csv/a.jsonl", "in.csv/a.scores.jsonl"),
        ("a.parquet", "a.scores.parquet"),
        ("a b+é%.csv", "a b+é%.scores.csv"),
    ],
)
def test_an_output_stands_beside_its_input_or_under_the_prefix_by_the_whole_key(key: str, output: str) -> None:
    found = StoredObject(bucket="in", key=key)
    beside = make_job(found, BESIDE)
    assert beside == ObjectJob(input=f"s3://in/{key}", output=f"s3://in/{output}")
    assert make_job(found, ELSEWHERE).output == f"s3://out/scored/{key}"
    assert explain_ignored(found, BESIDE) is None
    assert explain_ignored(StoredObject(bucket="in", key=output), BESIDE) == "an output"


@pytest.mark.parametrize(
    "key", ["a.txt", "a", ".csv", "in/.gz", "a.parquet.gz", "a.csv.bz2", "a.csv/.", "a.csv\n", "a.cſv"]
)
def test_an_object_of_another_format_is_an_error(key: str) -> None:
    for settings in (BESIDE, ELSEWHERE):
        with pytest.raises(UsageError, match="found"):
            make_job(StoredObject(bucket="in", key=key), settings)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("day/", "a folder"),
        ("a.scores.csv", "an output"),
        ("day/a.scores.JSONL.gz", "an output"),
        ("a.csv.manifest.json", "made by a job"),
        ("a.csv.rejects.jsonl", "made by a job"),
        ("a.csv.job/job.json", "made by a job"),
        ("day/a.csv.job/1a2b3c4d5e6f/00000-000000000000.part", "made by a job"),
        ("a.csv.job/1a2b3c4d5e6f/00000-000000000000.json", "made by a job"),
        ("parts/part-00000-000000004096-1a2b3c4d5e6f.jsonl", "made by a job"),
        ("parts/part-00000-000000004096-1a2b3c4d5e6f.csv.gz", "made by a job"),
        ("parts/_pairlift/manifest.json", "made by a job"),
        ("parts/_pairlift/rejects-1a2b3c4d5e6f.jsonl", "made by a job"),
        ("parts/_pairlift/job/1a2b3c4d5e6f/00000-000000000000.rejects", "made by a job"),
        ("a.csv.job/00000000.part", "made by a job"),  # of the formats before this one
        ("a.csv.job/journal.jsonl", "made by a job"),
        ("parts.jsonl/_job/000000000000.rejects", "made by a job"),
    ],
)
def test_what_jobs_write_is_no_input(key: str, reason: str) -> None:
    assert explain_ignored(StoredObject(bucket="in", key=key), BESIDE) == reason
    assert explain_ignored(StoredObject(bucket="in", key=key), ELSEWHERE) == reason


def test_what_is_under_the_prefix_of_the_outputs_is_no_input() -> None:
    assert explain_ignored(StoredObject(bucket="out", key="scored/a.csv"), ELSEWHERE) == "under PAIRLIFT_OUTPUT"
    assert explain_ignored(StoredObject(bucket="out", key="a.csv"), ELSEWHERE) is None
    assert explain_ignored(StoredObject(bucket="in", key="scored/a.csv"), ELSEWHERE) is None
    with pytest.raises(UsageError, match="is the whole bucket"):
        explain_ignored(StoredObject(bucket="out", key="a.csv"), Settings(bundle="b", output="s3://out/"))


def test_the_settings_are_those_of_the_environment(tmp_path: Path) -> None:
    read = read_settings(
        {
            "LAMBDA_TASK_ROOT": str(tmp_path),
            "PAIRLIFT_VARIANT": "int8",
            "PAIRLIFT_OUTPUT": "s3://out/a/b/",
            "PAIRLIFT_FIELDS": "a,b",
            "PAIRLIFT_MAX_REJECTS": "5%",
            "PAIRLIFT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/pairs",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        }
    )
    assert read == Settings(
        bundle=str(tmp_path / "bundle"),
        variant="int8",
        threads=1,
        output="s3://out/a/b/",
        fields="a,b",
        max_rejects="5%",
        queue="https://sqs.eu-west-1.amazonaws.com/123456789012/pairs",
    )
    assert read_settings({"PAIRLIFT_BUNDLE": "s3://models/nli/"}).bundle == "s3://models/nli/"
    empty = read_settings({"PAIRLIFT_OUTPUT": "", "PAIRLIFT_FIELDS": "", "PAIRLIFT_VARIANT": ""})
    assert (empty.output, empty.fields, empty.variant, empty.bundle) == (None, None, "fp32", "bundle")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAIRLIFT_VARIANT", "fp16"),
        ("PAIRLIFT_OUTPUT", "s3://out/prefix"),
        ("PAIRLIFT_OUTPUT", "out/"),
        ("PAIRLIFT_MAX_REJECTS", "many"),
        ("PAIRLIFT_QUEUE_URL", "arn:aws:sqs:eu-west-1:123456789012:pairs"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "lots"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "-1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: .*{value}.*expected"):
        read_settings({name: value})


@pytest.mark.parametrize(
    ("memory", "threads"), [("128", 1), ("1769", 1), ("2653", 1), ("2655", 2), ("3538", 2), ("10240", 6)]
)
def test_threads_come_from_the_memory_size(memory: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}).threads == min(threads, count_threads())
    monkeypatch.setattr("pairlift.aws.settings.count_threads", lambda: 64)
    assert read_settings({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}).threads == threads
