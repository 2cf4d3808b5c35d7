"""An SQS queue in moto, and what Lambda does between a queue and a function: it delivers, deletes, and delivers again."""

from __future__ import annotations

import json
from typing import Any

import boto3
from lambda_events import sqs_event, sqs_record
from lambda_runtime import Answer, LambdaRuntime

REGION = "eu-west-1"
HIDDEN_SECONDS = 3600  # a message that has been received comes again when a test says so, and not before


class MessageQueue:
    """A queue, which is spoken to past the proxy."""

    def __init__(self, port: int, name: str) -> None:
        self._client = boto3.client(
            "sqs", endpoint_url=f"http://127.0.0.1:{port}", region_name=REGION, aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        self.url = self._client.create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": str(HIDDEN_SECONDS), **fifo}
        )["QueueUrl"]
        self.arn = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]  # fmt: skip
        self._fifo = bool(fifo)

    def send(self, body: object) -> None:
        """Put a message there; a body that is no string is made JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        options = {"MessageGroupId": "day", "MessageDeduplicationId": str(hash(text))} if self._fifo else {}
        self._client.send_message(QueueUrl=self.url, MessageBody=text, **options)

    def receive(self, most: int = 10) -> list[dict[str, Any]]:
        """Take messages; until they are settled nobody else gets them."""
        found = self._client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=most, AttributeNames=["All"])
        return list(found.get("Messages", ()))

    def make_event(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the event of a batch."""
        return sqs_event(
            *(
                sqs_record(m["Body"], m["MessageId"], eventSourceARN=self.arn, attributes=m.get("Attributes", {}))
                for m in messages
            )
        )

    def settle(self, messages: list[dict[str, Any]], answer: Answer | None) -> list[str]:
        """Delete the messages that were done, give back the others, and return their bodies.

        Args:
            messages: As they were received.
            answer: The function's; None when it ended without one.
        """
        failed = {m["MessageId"] for m in messages}
        if answer is not None and not answer.failed:
            failed = {f["itemIdentifier"] for f in answer.value["batchItemFailures"]}
        for message in messages:
            handle = {"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]}
            if message["MessageId"] in failed:
                self._client.change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                self._client.delete_message(**handle)
        return [m["Body"] for m in messages if m["MessageId"] in failed]

    def deliver(self, container: LambdaRuntime, seconds: float = 30.0, most: int = 10) -> list[str] | None:
        """Deliver a batch once; return the bodies of the messages that failed, or None when there was no message."""
        messages = self.receive(most)
        if not messages:
            return None
        return self.settle(messages, container.invoke(self.make_event(messages), seconds))
