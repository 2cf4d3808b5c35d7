"""The queue: an unfinished job is sent to it, and another invocation continues the job."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from typing import Any

from pairlift.errors import StorageError, UsageError, first_line, missing_extra

ARN = re.compile(
    r"arn:[a-z-]+:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(\.fifo)?)", re.ASCII
)
FIFO = ".fifo"
GROUP = "pairlift"
# All tries together take at most 4 seconds and a pause, because messages are sent when time is short (deadline.py).
CONNECT_SECONDS = READ_SECONDS = 1
TRIES = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue, identified by its URL, or else by its ARN.

    Attributes:
        url: The queue's URL, https://…
        arn: The queue's ARN, as an event gives it.
        group: The message group in a FIFO queue; None for the group `pairlift`.
    """

    url: str | None = None
    arn: str | None = None
    group: str | None = None

    def send(self, body: str, name: str) -> None:
        """Send a message.

        Args:
            body: The text of the message.
            name: Identifies the message to a FIFO queue, which delivers messages of the same name once.

        Raises:
            StorageError: The message could not be sent.
            UsageError: There is no URL and no valid ARN, or the extra is not installed.
        """
        where = ARN.fullmatch(self.arn or "")
        if not self.url and not where:
            raise UsageError(f"eventSourceARN: found {self.arn!r}, expected a queue's ARN; or set PAIRLIFT_QUEUE_URL")
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError:
            raise missing_extra("a queue", "s3") from None
        try:
            client = _client(None if self.url or not where else where["region"])
            url = self.url or _find_url(client, where)
            options: dict[str, str] = {}
            if url.endswith(FIFO):
                digest = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()
                options = {"MessageGroupId": self.group or GROUP, "MessageDeduplicationId": digest}
            client.send_message(QueueUrl=url, MessageBody=body, **options)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise StorageError(
                f"{self.url or self.arn}: the message that continues the job could not be sent ({first_line(error)}); "
                "give this role sqs:SendMessage and sqs:GetQueueUrl on the queue"
            ) from error


def _find_url(client: Any, where: re.Match[str] | None) -> str:
    assert where is not None, "an ARN or a URL"
    found = client.get_queue_url(QueueName=where["name"], QueueOwnerAWSAccountId=where["account"])
    if "QueueUrl" not in found:  # botocore reads truncated JSON as an empty answer
        raise ValueError("the answer with the queue's URL is truncated")
    return str(found["QueueUrl"])


@functools.cache
def _client(region: str | None) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TRIES},
    )
    return boto3.session.Session().client("sqs", region_name=region, config=config)
