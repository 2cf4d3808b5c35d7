"""Jobs through Lambda's own runtime and the real client: one right result each, whatever is sent, again and again, or fails.

The function is the built zip, unpacked, under a Python that Lambda has; where there is none, the sources under this one.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote

import orjson
import pytest
from bucket import Bucket, Proxy, moto_port, serve_proxy
from conftest import SMALL_BUNDLE, SMALL_CHUNKS, score_small
from lambda_events import (
    PAIRS,
    ROWS,
    eventbridge_event,
    http_event,
    make_rows,
    s3_event,
    s3_record,
    s3_test_event,
    sqs_event,
    sqs_record,
)
from lambda_function import PYTHON, Code, build_code, take_sources
from lambda_queue import MessageQueue
from lambda_runtime import LambdaRuntime
from pairlift import Scorer, formats
from pairlift.inputs.names import stamp_inputs
from pairlift.inputs.plan import plan_inputs
from pairlift.storage import s3
from pairlift.storage.open import open_input
from pairlift.storage.stamp import read_stamp

__all__ = ["moto_port"]
KINDS = ("500", "503", "reset", "lost", "cut")
KEY = "day 1/é+%41/p&q=r {0}.csv"  # what URL encoding, and S3's own of it, may get wrong


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    """The function's code."""
    folder = tmp_path_factory.mktemp("function")
    return build_code(folder, SMALL_BUNDLE, PYTHON) if PYTHON else take_sources(folder, SMALL_BUNDLE)


@pytest.fixture(scope="module")
def proxy(moto_port: int) -> Iterator[Proxy]:
    """The one way from the containers to S3 and SQS."""
    with serve_proxy(moto_port) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
        yield proxy


_numbers = iter(range(10**6))


@pytest.fixture
def bucket(proxy: Proxy, moto_port: int) -> Iterator[Bucket]:
    """A bucket of its own."""
    proxy.requests.clear()
    yield Bucket(f"jobs-{next(_numbers)}", proxy, moto_port)
    proxy.fault = lambda verb, path, number: ""


@pytest.fixture
def queue(moto_port: int) -> MessageQueue:
    """A queue of its own."""
    return MessageQueue(moto_port, f"queue-{next(_numbers)}")


def start(code: Code, proxy: Proxy, **settings: str) -> LambdaRuntime:
    """Return a container that finds the proxy, to be entered."""
    endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint}
    return code.start(credentials | settings)


@pytest.fixture(scope="module")
def container(code: Code, proxy: Proxy) -> Iterator[LambdaRuntime]:
    """A container without settings."""
    with start(code, proxy) as running:
        yield running


@pytest.fixture(scope="module")
def second(code: Code, proxy: Proxy) -> Iterator[LambdaRuntime]:
    """Another container of the same function."""
    with start(code, proxy) as running:
        yield running


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a job of files makes of an input."""

    output: bytes
    rejects: bytes


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """The small bundle's scorer."""
    scorer = Scorer.open(SMALL_BUNDLE)
    yield scorer
    scorer.close()


@pytest.fixture
def expect(scorer: Scorer, tmp_path: Path) -> Any:
    """Return what the job of an object should make: a function of its key and bytes."""

    def expect(key: str, data: bytes, **options: Any) -> Expected:
        source = tmp_path / f"{next(_numbers)}" / Path(key).name
        source.parent.mkdir()
        source.write_bytes(data)
        made = source.with_name(f"scored{''.join(source.suffixes)}")
        score_small(scorer, source, made, **options)
        rejects = made.with_name(f"{made.name}.rejects.jsonl")
        return Expected(output=made.read_bytes(), rejects=rejects.read_bytes() if rejects.exists() else b"")

    return expect


def check_result(bucket: Bucket, source: str, output: str, expected: Expected) -> None:
    """Hold a bucket to one right result and nothing else."""
    assert bucket.get(output) == expected.output
    assert bucket.get(f"{output}.rejects.jsonl") == expected.rejects
    manifest = json.loads(bucket.get(f"{output}.manifest.json"))
    assert (manifest["output_size"], manifest["totals"]["rows"]) == (len(expected.output), ROWS)
    assert sorted(bucket.list_keys()) == sorted([source, output, f"{output}.manifest.json", f"{output}.rejects.jsonl"])
    assert bucket.uploads() == []


def list_created(bucket: Bucket) -> list[str]:
    """Return the keys of all objects that a container has tried to make in a bucket, those that are gone too."""
    lines = [line.split(" ", 1) for line in bucket.proxy.requests]
    paths = {unquote(path.partition("?")[0]) for verb, path in lines if verb in ("PUT", "POST")}
    prefix = f"/{bucket.name}/"
    return sorted(path.removeprefix(prefix) for path in paths if path.startswith(prefix) and path != prefix)


def notify(bucket: Bucket, *keys: str, through: str = "s3") -> dict[str, Any]:
    """Return the event that S3 sends of new objects."""
    if through == "eventbridge":
        (key,) = keys
        event = eventbridge_event(key)
        event["detail"]["bucket"]["name"] = bucket.name
        return event
    return s3_event(*(s3_record(quote_plus(key, safe="/"), bucket=bucket.name) for key in keys))


def ask(bucket: Bucket, source: str, output: str, **options: Any) -> dict[str, Any]:
    """Return a job as a user writes it."""
    return {"input": bucket.url(source), "output": bucket.url(output), **options}


# --- every shape of event ---


@pytest.mark.parametrize(
    ("shape", "suffix"),
    [
        ("job", ".jsonl"),
        ("s3", ".csv"),
        ("eventbridge", ".tsv"),
        ("sqs-job", ".csv.gz"),
        ("sqs-s3", ".jsonl.gz"),
        ("sqs-eventbridge", ".tsv.gz"),
    ],
)
def test_an_object_comes_to_the_same_bytes_as_a_file_by_every_event(
    shape: str, suffix: str, bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any
) -> None:
    stem = KEY.removesuffix(".csv")
    source, output = f"{stem}{suffix}", f"{stem}.scores{suffix}"
    bucket.put(source, make_rows(suffix))
    inner = shape.removeprefix("sqs-")
    event = ask(bucket, source, output) if inner == "job" else notify(bucket, source, through=inner)
    if inner == shape:
        answer = container.invoke(event)
        assert not answer.failed, answer.payload
        done = answer.value if shape == "job" else answer.value["jobs"][0]
        assert (done["output"], done["rows"], sum(done["rejected"].values())) == (bucket.url(output), ROWS, 9)
    else:
        queue.send(event)
        assert queue.deliver(container) == []
        assert queue.deliver(container) is None
    check_result(bucket, source, output, expect(source, make_rows(suffix)))


def test_pairs_and_http_are_answered_as_the_scorer_does(container: LambdaRuntime, scorer: Scorer) -> None:
    expected = scorer.score([("a dog sleeps", "a dog is not awake"), ("a cat", "a red cat")]).tolist()
    for answer in (container.invoke(PAIRS).value, json.loads(container.invoke(http_event(encoded=True)).value["body"])):
        found = [list(result["probabilities"].values()) for result in answer["results"]]
        assert found == [pytest.approx(row, abs=1e-7) for row in expected]


def test_a_bad_row_is_rejected_and_too_many_fail_the_job(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    job = ask(bucket, "in.jsonl", "out.jsonl", raw=False, max_rejects="5%")
    queue.send(job)
    assert queue.deliver(container) == [json.dumps(job)]
    assert "RejectsError" in container.read_entries()[-1]["failures"][0]
    assert "out.jsonl" not in bucket.list_keys()
    job["max_rejects"] = 9
    assert container.invoke(job).value["rejected"] == {"bad_json": 9}
    check_result(bucket, "in.jsonl", "out.jsonl", expect("in.jsonl", make_rows(".jsonl"), raw=False))
    assert queue.deliver(container) == [queue_body(job, "5%")], "what is finished is held to each message's own bound"


def queue_body(job: dict[str, Any], most: str) -> str:
    """Return a message's body with another bound."""
    return json.dumps({**job, "max_rejects": most})


def spoil(line: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return a line of a plan whose only span says something else."""
    return {**line, "spans": [{**line["spans"][0], **changed}]}


def test_chunks_that_are_asked_for_one_by_one_are_put_together_by_the_job(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    expected, whole = expect("in.jsonl", make_rows(".jsonl")), ask(bucket, "in.jsonl", "out.jsonl")
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
    with open_input(bucket.url("in.jsonl")) as file:
        inputs = stamp_inputs([bucket.url("in.jsonl")], read_stamp(file))
    descriptors = plan_inputs(inputs, formats.format_of("in.jsonl"), SMALL_CHUNKS)
    plan = [json.loads(orjson.dumps(descriptor)) for descriptor in descriptors]
    s3._client.cache_clear()
    for line in reversed(plan):
        answer = container.invoke({**whole, "chunk": line})
        assert (answer.value["rows"], answer.value["finished"]) == (line["spans"][0]["rows"], False), answer.payload
    (first,) = plan[0]["spans"]
    for spoilt, message in (
        (spoil(plan[0], rows="many"), "found str 'many', expected int; expected a line of: pairlift plan INPUT"),
        (spoil(plan[0], rows=0), "with 0 rows from 0, expected a line of: pairlift plan s3://"),
        (spoil(plan[0], rows=5), "the rows from 0 onwards are not where the plan says; make a new plan"),
        (
            spoil(plan[0], stamp={**first["stamp"], "etag": "other"}),
            "in.jsonl: has changed since the job was planned (was ",
        ),
        (spoil(plan[0], rows=10**30), "expected a line of: pairlift plan INPUT"),
        ({**plan[0], "spans": [first, first]}, "has 2 spans, expected a line of: pairlift plan s3://"),
        ({**plan[0], "spans": []}, "has 0 spans, expected a line of: pairlift plan s3://"),
        ({**plan[0], "lot": 1}, "the chunk belongs to a job of several inputs"),
        ({**plan[0], "row": 16}, "the chunk belongs to a job of several inputs"),
        ({"format": 2, **first}, "expected a line of: pairlift plan INPUT"),  # as versions before this one wrote it
    ):
        answer = container.invoke({**whole, "chunk": spoilt})
        assert answer.failed, answer.payload
        assert message in answer.error[1], answer.error
    answer = container.invoke(whole)
    assert (answer.value["rows"], answer.value["finished"]) == (ROWS, False)
    assert container.read_entries()[-1]["rows"] == 0, "every chunk was done before"
    check_result(bucket, "in.jsonl", "out.jsonl", expected)
    assert container.invoke({**whole, "chunk": plan[0]}).value["finished"] is True


def test_broken_events_and_jobs_fail_alone_and_by_name(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    bucket.put("no.csv", b"a,b\n1,2\n")
    bucket.put("utf16.csv", "premise,hypothesis\na,b\n".encode("utf-16"))
    bucket.put("half.csv.gz", make_rows(".csv.gz")[:200])
    bucket.put("mine.jsonl", b"mine")
    bucket.put("notes.txt", b"notes")
    broken: list[tuple[object, str]] = [
        ("{", "not valid JSON"),
        ({"pairs": [["a", "b"]]}, "expected a job or an S3 event"),
        (ask(bucket, "in.jsonl", "out.jsonl", colour="red"), "unknown key 'colour'"),
        ({"input": "/etc/passwd", "output": bucket.url("x.csv")}, "expected s3://bucket/key"),
        (ask(bucket, "none.jsonl", "x.jsonl"), "no such object"),
        (ask(bucket, "no.csv", "x.csv"), "no.csv"),
        (ask(bucket, "utf16.csv", "x.csv"), "utf16.csv"),
        (ask(bucket, "half.csv.gz", "x.csv"), "half.csv.gz"),
        (ask(bucket, "in.jsonl", "mine.jsonl"), "mine.jsonl: exists"),
        (ask(bucket, "in.jsonl", "out.parquet"), "pairlift[parquet]"),
        ({"input": bucket.url("in.jsonl"), "output": "s3://no-such-bucket/x.jsonl"}, "no such bucket"),
        (notify(bucket, "notes.txt"), "notes.txt"),
        (notify(bucket, "half.csv.gz", through="eventbridge"), "half.csv.gz"),
        (s3_event(s3_record("%ff.csv", bucket=bucket.name)), "expected UTF-8 in URL encoding"),
    ]
    good = [
        ask(bucket, "in.jsonl", "out.jsonl"),
        notify(bucket, "in.jsonl"),
        s3_test_event(),
        s3_event(s3_record("in.jsonl", "ObjectRemoved:Delete", bucket.name)),
    ]
    for body in [*(body for body, _ in broken), *good]:
        queue.send(body)
    failed: list[str] = []
    while messages := queue.receive():
        answer = container.invoke(queue.make_event(messages))
        ids = {f["itemIdentifier"] for f in answer.value["batchItemFailures"]}
        failed += [m["Body"] for m in messages if m["MessageId"] in ids]
    bodies = [body if isinstance(body, str) else json.dumps(body) for body, _ in broken]
    assert sorted(failed) == sorted(bodies)
    said = [line for entry in container.read_entries()[-2:] for line in entry["failures"]]
    for _, message in broken:
        assert [line for line in said if message in line], (message, said)
    kept = ("in.jsonl", "no.csv", "utf16.csv", "half.csv.gz", "mine.jsonl", "notes.txt")
    expected = expect("in.jsonl", make_rows(".jsonl"))
    for output in ("out.jsonl", "in.scores.jsonl"):
        assert bucket.get(output) == expected.output
    left = {key for key in bucket.list_keys() if not key.startswith(("out.jsonl", "in.scores.jsonl"))}
    # Of a job that can never go on, because its input is damaged, it stays written down that it is over.
    assert {key for key in left if not key.endswith("/verdict.json")} == set(kept)
    assert bucket.get("mine.jsonl") == b"mine"
    assert bucket.uploads() == []


def test_nothing_that_a_job_has_made_makes_another_job(
    bucket: Bucket, container: LambdaRuntime, queue: MessageQueue
) -> None:
    bucket.put("a/in.csv", make_rows(".csv"))
    bucket.put("b/in.jsonl", make_rows(".jsonl"))
    assert not container.invoke(notify(bucket, "a/in.csv")).failed
    assert not container.invoke(ask(bucket, "b/in.jsonl", "b/named-by-hand.jsonl")).failed
    assert not container.invoke(ask(bucket, "b/in.jsonl", "c/parts.jsonl/")).failed
    made, before = list_created(bucket), bucket.list_keys()
    assert len(made) > 3 * 8
    for key in made:
        queue.send(notify(bucket, key))
        queue.send(notify(bucket, key, through="eventbridge"))
    while (failed := queue.deliver(container)) is not None:
        assert failed == [], container.read_entries()[-1]
    assert bucket.list_keys() == before
    assert list_created(bucket) == made


def test_a_record_that_is_no_input_does_not_keep_the_others_from_being_scored(
    bucket: Bucket, container: LambdaRuntime
) -> None:
    for key in ("notes.txt", "in.csv"):
        bucket.put(key, make_rows(".csv"))
    kind, message = container.invoke(notify(bucket, "notes.txt", "gone.csv", "in.csv")).error
    assert (kind, "found extension '.txt'" in message) == ("UsageError", True)
    assert any("gone.csv: no such object" in line for line in container.read_entries()[-1]["failures"])
    assert "in.scores.csv" in bucket.list_keys()


def test_outputs_that_go_to_a_prefix_of_the_same_bucket_are_no_inputs(
    code: Code, proxy: Proxy, bucket: Bucket, expect: Any
) -> None:
    bucket.put("in/x.csv", make_rows(".csv"))
    with start(code, proxy, PAIRLIFT_OUTPUT=bucket.url("scored/")) as container:
        assert not container.invoke(notify(bucket, "in/x.csv")).failed
        check_result(bucket, "in/x.csv", "scored/in/x.csv", expect("x.csv", make_rows(".csv")))
        made = list_created(bucket)
        answer = container.invoke(notify(bucket, *made))
        assert answer.value == {"jobs": []}
    assert list_created(bucket) == made


# --- deadlines ---


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_job_too_long_for_its_deadline_goes_round_through_its_queue_and_each_time_further(
    fifo: bool, bucket: Bucket, moto_port: int, container: LambdaRuntime, expect: Any
) -> None:
    queue = MessageQueue(moto_port, f"long-{next(_numbers)}{'.fifo' if fifo else ''}")
    bucket.put("in.jsonl", make_rows(".jsonl"))
    queue.send(notify(bucket, "in.jsonl"))
    done = []
    while queue.deliver(container, seconds=1) == []:  # less than the reserve: a chunk is done, and no more
        done.append(len([key for key in bucket.list_keys() if key.endswith(".part")]))
        assert len(done) < 20
    assert done == [1, 2, 3, 4, 5, 6, 7, 0]
    check_result(bucket, "in.jsonl", "in.scores.jsonl", expect("in.jsonl", make_rows(".jsonl")))


def test_a_batch_too_long_for_its_deadline_is_finished_message_by_message(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any
) -> None:
    for name in ("a", "b"):
        bucket.put(f"{name}.jsonl", make_rows(".jsonl"))
        queue.send(ask(bucket, f"{name}.jsonl", f"out/{name}.jsonl"))
    rounds = 0
    while queue.deliver(container, seconds=1) == []:
        rounds += 1
        assert rounds < 40
    for name in ("a", "b"):
        assert bucket.get(f"out/{name}.jsonl") == expect(f"{name}.jsonl", make_rows(".jsonl")).output
    assert not [key for key in bucket.list_keys() if ".job/" in key]
    assert bucket.uploads() == []


# --- again, at once, and killed ---


def test_a_message_that_comes_again_changes_nothing(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, second: LambdaRuntime, expect: Any
) -> None:
    bucket.put("in.csv", make_rows(".csv"))
    queue.send(notify(bucket, "in.csv"))
    event = queue.make_event(queue.receive())
    marks = []
    for running in (container, container, second):
        assert running.invoke(event).value == {"batchItemFailures": []}
        check_result(bucket, "in.csv", "in.scores.csv", expect("in.csv", make_rows(".csv")))
        marks.append(bucket.direct.head_object(Bucket=bucket.name, Key="in.scores.csv")["LastModified"])
    assert len(set(marks)) == 1


def test_two_containers_at_one_message_make_one_result(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, second: LambdaRuntime, expect: Any
) -> None:
    expected = expect("in.jsonl", make_rows(".jsonl"))
    for i in range(3):
        bucket.put(f"{i}/in.jsonl", make_rows(".jsonl"))
        queue.send(notify(bucket, f"{i}/in.jsonl"))
        messages = queue.receive()
        event = queue.make_event(messages)
        sent = [(running, running.send(event)) for running in (container, second)]
        answers = [running.wait(name) for running, name in sent]
        for answer in answers:
            assert queue.settle(messages, answer) == [], container.read_log() + second.read_log()
        assert bucket.get(f"{i}/in.scores.jsonl") == expected.output
        assert bucket.get(f"{i}/in.scores.jsonl.rejects.jsonl") == expected.rejects
        assert not [key for key in bucket.list_keys() if ".job/" in key]
        assert bucket.uploads() == []


@pytest.mark.parametrize("where", ["00000-000000000048.part", "partNumber=3", "?uploadId", ".manifest.json"])
def test_a_container_that_is_killed_is_taken_over_by_another(
    where: str, code: Code, bucket: Bucket, queue: MessageQueue, second: LambdaRuntime, expect: Any
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    queue.send(notify(bucket, "in.jsonl"))
    come = threading.Event()

    def catch(verb: str, path: str, number: int) -> str:
        if verb in ("PUT", "POST") and where in path and not (where == "?uploadId" and verb == "PUT"):
            come.set()
            return "lost"  # S3 has it, and nobody is told
        return ""

    bucket.proxy.fault = catch
    messages = queue.receive()
    with start(code, bucket.proxy) as container:
        container.send(queue.make_event(messages))
        assert come.wait(60)
        container.kill()
    bucket.proxy.fault = lambda verb, path, number: ""
    assert queue.settle(messages, None)
    assert queue.deliver(second) == [], second.read_log()
    check_result(bucket, "in.jsonl", "in.scores.jsonl", expect("in.jsonl", make_rows(".jsonl")))


# --- storage that fails ---


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_fourth_request_may_fail(kind: str, code: Code, bucket: Bucket, queue: MessageQueue, expect: Any) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    bucket.proxy.fault = lambda verb, path, number: kind if number % 4 == 1 else ""
    queue.send(notify(bucket, "in.jsonl"))
    with start(code, bucket.proxy) as container:  # with all of its client's allowance of retries
        hops = 0
        # Sent on through the same proxy, too, sometimes twice: so one at a time, as the template has it.
        while queue.deliver(container, seconds=1 if hops < 2 else 30, most=1) is not None:
            hops += 1
            assert hops < 30, container.read_log()
        entries = container.read_entries()
    assert all("StorageError: " in failure for entry in entries for failure in entry["failures"])
    assert any(entry["continued"] for entry in entries)
    check_result(bucket, "in.jsonl", "in.scores.jsonl", expect("in.jsonl", make_rows(".jsonl")))


def test_storage_that_throttles_for_ever_fails_the_message_and_loses_nothing(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime, expect: Any
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    bucket.proxy.fault = lambda verb, path, number: "503" if verb == "PUT" and "00000-000000000048.part" in path else ""
    queue.send(notify(bucket, "in.jsonl"))
    assert queue.deliver(container) != []
    (said,) = container.read_entries()[-1]["failures"]
    assert "StorageError" in said and "00000-000000000048.part" in said and "SlowDown" in said
    bucket.proxy.fault = lambda verb, path, number: ""
    assert queue.deliver(container) == []
    entry = container.read_entries()[-1]
    assert (entry["failures"], entry["rows"]) == ([], ROWS - 48)
    check_result(bucket, "in.jsonl", "in.scores.jsonl", expect("in.jsonl", make_rows(".jsonl")))


@pytest.mark.parametrize(
    ("verb", "part", "message"),
    [
        ("HEAD", "in.jsonl", "in.jsonl: access denied; give this role s3:GetObject and s3:ListBucket there"),
        ("GET", "in.jsonl", "in.jsonl: access denied; give this role s3:GetObject"),
        ("PUT", "in.scores.jsonl", "access denied; give this role s3:GetObject, s3:PutObject, s3:DeleteObject"),
    ],
)
def test_what_this_role_may_not_do_is_said_with_the_permission_to_give(
    verb: str, part: str, message: str, bucket: Bucket, queue: MessageQueue, container: LambdaRuntime
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    bucket.proxy.fault = lambda method, path, number: "403" if method == verb and part in path else ""
    queue.send(notify(bucket, "in.jsonl"))
    before = len(container.read_log())
    assert queue.deliver(container) != []
    (said,) = container.read_entries()[-1]["failures"]
    assert message in said
    assert len(container.read_log()[before:].splitlines()) == 1
    assert not [key for key in bucket.list_keys() if key.endswith((".scores.jsonl", ".manifest.json"))]


def test_a_queue_that_may_not_be_sent_to_fails_the_message_with_the_permission_to_give(
    bucket: Bucket, queue: MessageQueue, container: LambdaRuntime
) -> None:
    bucket.put("in.jsonl", make_rows(".jsonl"))
    bucket.proxy.fault = lambda verb, path, number: "403" if path == "/" else ""
    queue.send(notify(bucket, "in.jsonl"))
    assert queue.deliver(container, seconds=1) != []
    (said,) = container.read_entries()[-1]["failures"]
    assert queue.arn in said and "give this role sqs:SendMessage and sqs:GetQueueUrl on the queue" in said


def test_batches_without_messages_of_ours_do_nothing(container: LambdaRuntime, bucket: Bucket) -> None:
    assert container.invoke(sqs_event(sqs_record(s3_test_event()))).value == {"batchItemFailures": []}
    assert container.invoke(s3_test_event()).value == {"jobs": []}
    assert bucket.list_keys() == []


def test_an_answer_that_a_death_cuts_off_is_none(tmp_path: Path) -> None:
    container = LambdaRuntime("", {}, tmp_path)
    with container, socket.create_connection(container.api.split(":")) as connection:
        connection.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nContent-Length: 5\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
        assert not container._answers
