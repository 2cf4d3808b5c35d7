"""Events: recognises every supported shape of an event, and returns what it asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from pairlift.aws.http import HttpRequest, read_http
from pairlift.aws.jobs import ObjectJob, read_job
from pairlift.aws.pairs import PairsRequest, read_request
from pairlift.aws.shape import expect, member, name_keys, quote, read_json
from pairlift.errors import UsageError

SHAPES = (
    '{"pairs": […]}, {"input": "s3://…", "output": "s3://…"}, an HTTP request in the payload format 2.0, '
    "an S3 notification, a batch of SQS messages, or an S3 event from EventBridge"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object that has been created."""

    bucket: str
    key: str

    @property
    def url(self) -> str:
        """The object's URL."""
        return f"s3://{self.bucket}/{self.key}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """A notification of changes in a bucket.

    Attributes:
        kind: `s3`, `eventbridge`, or `test` for S3's own test of a notification.
        created: Objects that have been created.
        others: The names of other events, which are ignored.
    """

    kind: str
    created: tuple[StoredObject, ...] = ()
    others: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a queue; its body is parsed later, so that a bad message fails alone."""

    id: str
    body: object
    queue: str | None
    group: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatch:
    """Messages of a queue."""

    kind: ClassVar[str] = "sqs"
    messages: tuple[Message, ...]


Request = PairsRequest | ObjectJob | HttpRequest | ObjectEvent | MessageBatch


def read_event(event: object) -> Request:
    """Return what an event asks for.

    Raises:
        UsageError: The event has no supported shape.
    """
    if not isinstance(event, dict):
        raise UsageError(f"event: found {type(event).__name__}, expected {SHAPES}")
    if "Records" in event:
        records = [
            expect(record, dict, f"event.Records[{i}]") for i, record in enumerate(_read_records(event, "event"))
        ]
        if all(record.get("eventSource") == "aws:sqs" for record in records):
            return MessageBatch(messages=tuple(_read_message(record, i) for i, record in enumerate(records)))
        return read_notification(event, "event")
    if "requestContext" in event:
        return read_http(event)
    if "detail-type" in event or "Event" in event:
        return read_notification(event, "event")
    if "pairs" in event:
        return read_request(event, "event")
    if "input" in event or "output" in event:
        return read_job(event, "event")
    raise UsageError(f"event: found {name_keys(event)}, expected {SHAPES}")


def read_message(message: Message) -> ObjectJob | ObjectEvent:
    """Return what the body of a message asks for.

    Raises:
        UsageError: The body is neither a job nor an S3 event.
    """
    if not isinstance(message.body, str):
        raise UsageError(f"body: found {quote(message.body)}, expected a string")
    value = read_json(message.body, "body")
    if not isinstance(value, dict):
        raise UsageError(f"body: found {quote(value)}, expected an object: a job, or an S3 event")
    if "input" in value or "output" in value:
        return read_job(value, "body")
    return read_notification(value, "body")


def read_notification(event: Mapping[str, Any], where: str) -> ObjectEvent:
    """Read an S3 event, sent by S3 itself or through EventBridge.

    Raises:
        UsageError: The event is neither of these.
    """
    if "Records" in event:
        return _read_s3(_read_records(event, where), where)
    if "detail-type" in event:
        return _read_eventbridge(event, where)
    if event.get("Event") == "s3:TestEvent":
        return ObjectEvent(kind="test", others=("s3:TestEvent",))
    raise UsageError(f"{where}: found {name_keys(event)}, expected a job or an S3 event")


def _read_records(event: Mapping[str, Any], where: str) -> list[Any]:
    records = member(event, "Records", list, where)
    if not records:
        raise UsageError(f"{where}.Records: found none, expected one or more")
    return records


def _read_s3(records: list[Any], where: str) -> ObjectEvent:
    created: list[StoredObject] = []
    others: list[str] = []
    for i, found in enumerate(records):
        here = f"{where}.Records[{i}]"
        record = expect(found, dict, here)
        source = record.get("eventSource")
        if source != "aws:s3":
            raise UsageError(
                f"{here}.eventSource: found {quote(source)}, expected 'aws:s3', or 'aws:sqs' in all records"
            )
        name = member(record, "eventName", str, here)
        if not name.startswith("ObjectCreated:"):
            others.append(quote(name))
            continue
        stored = _read_object(member(record, "s3", dict, here), f"{here}.s3")
        try:
            key = unquote_plus(stored.key, errors="strict")
        except UnicodeError:
            raise UsageError(
                f"{here}.s3.object.key: found {quote(stored.key)}, expected UTF-8 in URL encoding"
            ) from None
        created.append(dataclasses.replace(stored, key=key))
    return ObjectEvent(kind="s3", created=tuple(created), others=tuple(others))


def _read_eventbridge(event: Mapping[str, Any], where: str) -> ObjectEvent:
    source, name = member(event, "source", str, where), member(event, "detail-type", str, where)
    if source != "aws.s3":
        raise UsageError(f"{where}.source: found {quote(source)}, expected 'aws.s3'")
    if name != "Object Created":
        return ObjectEvent(kind="eventbridge", others=(quote(name),))
    created = _read_object(member(event, "detail", dict, where), f"{where}.detail")
    return ObjectEvent(kind="eventbridge", created=(created,))


def _read_object(value: Mapping[str, Any], where: str) -> StoredObject:
    bucket, found = member(value, "bucket", dict, where), member(value, "object", dict, where)
    return StoredObject(
        bucket=member(bucket, "name", str, f"{where}.bucket"), key=member(found, "key", str, f"{where}.object")
    )


def _read_message(record: Mapping[str, Any], index: int) -> Message:
    where = f"event.Records[{index}]"
    attributes, queue = record.get("attributes"), record.get("eventSourceARN")
    group = attributes.get("MessageGroupId") if isinstance(attributes, dict) else None
    name = member(record, "messageId", str, where)
    if not name or not name.isprintable():
        raise UsageError(f"{where}.messageId: found {quote(name)}, expected a printable ID")
    return Message(
        id=name,
        body=record.get("body"),
        queue=queue if isinstance(queue, str) else None,
        group=group if isinstance(group, str) else None,
    )
