"""HTTP: requests through a Function URL or an HTTP API, and the responses to them."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from pairlift.aws.pairs import PairsRequest, read_request
from pairlift.aws.shape import expect, member, quote, read_json
from pairlift.errors import UsageError

HEADERS = {"content-type": "application/json"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request in the payload format 2.0."""

    kind: ClassVar[str] = "http"
    method: str
    body: str
    encoded: bool


def read_http(event: Mapping[str, Any]) -> HttpRequest:
    """Read the event of an HTTP request.

    Raises:
        UsageError: It is not of the payload format 2.0.
    """
    if event.get("version") != "2.0":
        raise UsageError(
            f"event.version: found {quote(event.get('version'))}, expected '2.0': an HTTP API with the payload format 2.0, or "
            "a Function URL"
        )
    http = member(member(event, "requestContext", dict, "event"), "http", dict, "event.requestContext")
    body, encoded = event.get("body"), event.get("isBase64Encoded", False)
    if body is not None and not isinstance(body, str):
        raise UsageError("event.body: found another type, expected a string")
    return HttpRequest(
        method=member(http, "method", str, "event.requestContext.http"),
        body=body or "",
        encoded=expect(encoded, bool, "event.isBase64Encoded"),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is refused, and the HTTP status of the response."""

    status: int
    reason: str

    def respond(self) -> dict[str, Any]:
        """Return the response."""
        allow = {"allow": "POST"} if self.status == 405 else {}
        return respond(self.status, {"error": self.reason}, **allow)


def read_body(request: HttpRequest) -> PairsRequest | Refusal:
    """Return the pairs that a request asks for, or the reason why it is refused."""
    if request.method != "POST":
        return Refusal(status=405, reason=f"found {quote(request.method)}, expected POST")
    try:
        value = read_json(_decode(request), "body")
        if not isinstance(value, dict):
            raise UsageError(f'body: found {type(value).__name__}, expected an object: {{"pairs": […]}}')
        if "input" in value or "output" in value:
            return Refusal(
                status=403,
                reason="jobs are not run over HTTP, because permission to call this URL is not permission to write to "
                "buckets; invoke the function, or send the job to its queue",
            )
        return read_request(value, "body")
    except UsageError as error:
        return Refusal(status=400, reason=str(error))


def respond(status: int, value: object, **headers: str) -> dict[str, Any]:
    """Return a response whose body is JSON."""
    return {
        "statusCode": status,
        "headers": {**HEADERS, **headers},
        "body": orjson.dumps(value).decode(),
        "isBase64Encoded": False,
    }


def _decode(request: HttpRequest) -> str:
    if not request.encoded:
        return request.body
    try:
        return base64.b64decode(request.body, validate=True).decode()
    except (binascii.Error, ValueError):
        raise UsageError("body: not UTF-8 text in base64; expected JSON") from None
