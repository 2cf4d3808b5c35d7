"""What a Lambda function gets: events as AWS sends them, each made anew so that a test may spoil it, and inputs."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Callable
from typing import Any

ROWS = 100  # seven chunks of 16
QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:pairs"
JOB = {"input": "s3://in/day/pairs.csv.gz", "output": "s3://out/day/scores.csv.gz"}
PAIRS = {"pairs": [{"hypothesis": "a dog sleeps", "premise": "a dog is not awake"}, ["a cat", "a red cat"]]}


def s3_record(
    key: str = "day/my+pairs%C3%A9.csv", name: str = "ObjectCreated:Put", bucket: str = "in"
) -> dict[str, Any]:
    """Return a record of an S3 notification; the key in URL encoding."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AIDA"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "pairs",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A3NL1"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055"},
        },
    }


def s3_event(*records: dict[str, Any]) -> dict[str, Any]:
    """Return an S3 notification."""
    return {"Records": list(records) or [s3_record()]}


def s3_test_event() -> dict[str, Any]:
    """Return what S3 sends when a notification is set up."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-01T00:00:00.000Z",
        "Bucket": "in",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    }


def eventbridge_event(key: str = "day/my pairs+é.jsonl", name: str = "Object Created") -> dict[str, Any]:
    """Return an event of S3 through EventBridge; the key as it is."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": name,
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:s3:::in"],
        "detail": {
            "version": "0",
            "bucket": {"name": "in"},
            "object": {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def sqs_record(body: object, name: str = "m-1", **changes: Any) -> dict[str, Any]:
    """Return a record of a batch; a body that is no string is made JSON."""
    return {
        "messageId": name,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", "SenderId": "AIDA"},
        "messageAttributes": {},
        "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE_ARN,
        "awsRegion": "eu-west-1",
        **changes,
    }


def sqs_event(*records: dict[str, Any]) -> dict[str, Any]:
    """Return a batch of messages."""
    return {"Records": list(records)}


def http_event(body: object = None, method: str = "POST", encoded: bool = False) -> dict[str, Any]:
    """Return a request through a Function URL; a body that is no string is made JSON."""
    text = body if isinstance(body, str) else json.dumps(PAIRS if body is None else body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "example.lambda-url.eu-west-1.on.aws"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "example",
            "http": {"method": method, "path": "/", "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4", "userAgent": "curl"},
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
        "body": base64.b64encode(text.encode()).decode() if encoded else text,
        "isBase64Encoded": encoded,
    }


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "pairs": lambda: copy.deepcopy(PAIRS),
    "job": lambda: {**JOB, "fields": "a,b", "max_rejects": "5%", "quoting": "none", "raw": False},
    "http": http_event,
    "http-base64": lambda: http_event(encoded=True),
    "s3": s3_event,
    "s3-test": s3_test_event,
    "eventbridge": eventbridge_event,
    "sqs-job": lambda: sqs_event(sqs_record(JOB)),
    "sqs-s3": lambda: sqs_event(sqs_record(s3_event()), sqs_record(JOB, "m-2")),
    "sqs-test": lambda: sqs_event(sqs_record(s3_test_event())),
    "sqs-eventbridge": lambda: sqs_event(sqs_record(eventbridge_event())),
}


def make_rows(suffix: str, rows: int = ROWS) -> bytes:
    """Return an input; of JSON lines every eleventh is broken, of the others every eleventh has a field too many."""
    texts = [(f"the dog {i} runs {'x ' * (i % 7)}", "a cat é" * (i % 3)) for i in range(rows)]
    if suffix.startswith(".jsonl"):
        lines = [json.dumps({"id": i, "premise": a, "hypothesis": b}) for i, (a, b) in enumerate(texts)]
        lines = ["{broken" if i % 11 == 5 else line for i, line in enumerate(lines)]
    else:
        mark = "\t" if suffix.startswith(".tsv") else ","
        lines = [mark.join(("premise", "hypothesis", "id"))]
        lines += [mark.join((a, b, str(i), *(["more"] if i % 11 == 5 else []))) for i, (a, b) in enumerate(texts)]
    data = ("\n".join(lines) + "\n").encode()
    return gzip.compress(data, mtime=0) if suffix.endswith(".gz") else data
