"""A bucket on this machine: moto's server over HTTP, and a proxy before it that fails as networks and S3 do."""

from __future__ import annotations

import contextlib
import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

# What is done with a request, by its method, path and query, and number: one of the codes below or "reset" (before it is passed
# on), "lost" (it is carried out, and the answer is not given), "cut" (half of the answer), "hold" (never answered), "capitals"
# (the names of the answer's headers are written so), or nothing. And what some stores are like: "501" (they refuse conditional
# writes, and those only), "ignore" (they take no notice of the conditions), "nobulk" (they refuse to remove many objects at once).
Fault = Callable[[str, str, int], str]

CODES = {
    "500": (500, "InternalError"),
    "501": (501, "NotImplemented"),
    "503": (503, "SlowDown"),
    "400": (400, "InvalidArgument"),
    "403": (403, "AccessDenied"),
    "405": (405, "MethodNotAllowed"),
    "409": (409, "ConditionalRequestConflict"),
    "412": (412, "PreconditionFailed"),
    "nobulk": (400, "MissingContentMD5"),
    "noupload": (404, "NoSuchUpload"),
}
CONDITIONS = ("if-match", "if-none-match")


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, or does not."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.fault: Fault = lambda method, path, number: ""
        self.requests: list[str] = []
        self.reached = threading.Event()  # a request that is held has come
        self.released = threading.Event()
        self.deciding = threading.Lock()  # moto looks first and writes then, so that two conditions can hold at once
        self._counting = threading.Lock()

    def count(self, line: str) -> int:
        """Note a request, and return how many there were before it."""
        with self._counting:
            self.requests.append(line)
            return len(self.requests) - 1

    def handle_error(self, request: Any, address: Any) -> None:
        """Say nothing: who hangs up has been made to."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or an answer's body waits 40 ms for its head to be acknowledged
    server: Proxy

    def _answer(self) -> None:
        if self.headers.get("Expect"):
            pass  # answered with 100 by the base class
        body = self._read_body()
        fault = self.server.fault(self.command, self.path, self.server.count(f"{self.command} {self.path}"))
        if fault == "hold":
            self.server.reached.set()
            self.server.released.wait(60)
        if fault in ("reset", "hold"):
            self._hang_up()
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "transfer-encoding")}
        conditional = self.command in ("PUT", "POST") and any(k.lower() in CONDITIONS for k in headers)
        if fault == "ignore":
            headers = {k: v for k, v in headers.items() if k.lower() not in CONDITIONS}
        if fault == "501" and not conditional:
            fault = ""
        if fault == "nobulk" and not (self.command == "POST" and self.path.endswith("?delete")):
            fault = ""
        if fault in CODES:
            self._refuse(*CODES[fault])
            return
        headers["Content-Length"] = str(len(body))
        with self.server.deciding if conditional else contextlib.nullcontext():
            if refusal := self._decide(headers):
                self._refuse(*refusal)
                return
            answer, data = self._pass_on(self.command, self.path, body, headers)
        if fault == "lost":
            self._hang_up()
            return
        found = {
            k: v
            for k, v in answer.getheaders()
            if k.lower() not in ("transfer-encoding", "connection", "date", "server")
        }
        if fault == "capitals":
            found = {k.title(): v for k, v in found.items()}
        self._send(answer.status, found, data, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 (the base class wants these names)

    def _pass_on(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        ) as connection:  # fmt: skip
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()

    def _decide(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Refuse to complete an upload in the place of what is not there: moto takes no notice of If-Match there, S3 does."""
        expected = next((v for k, v in headers.items() if k.lower() == "if-match"), None)
        if self.command != "POST" or expected is None:
            return None
        who = {k: v for k, v in headers.items() if k.lower() == "authorization"}  # moto knows its service by it
        found, _ = self._pass_on("HEAD", self.path.split("?")[0], b"", who)
        if found.status == 404:
            return 404, "NoSuchKey"
        return None if found.getheader("ETag") == expected else CODES["412"]

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, {}, f"<Error><Code>{code}</Code><Message>made to fail</Message></Error>".encode())

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in [*pieces, b""])
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, headers: dict[str, str], data: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        length = headers.pop("Content-Length", headers.pop("content-length", None))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Bucket:
    """A bucket behind a proxy.

    Attributes:
        name: Its name.
        proxy: The proxy.
        environment: What a process needs to find it.
    """

    def __init__(self, name: str, proxy: Proxy, port: int) -> None:
        import boto3

        self.name, self.proxy = name, proxy
        self.environment = CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_address[1]}"}
        self.direct = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        self.direct.create_bucket(Bucket=name)

    def url(self, key: str) -> str:
        """Return an object's name."""
        return f"s3://{self.name}/{key}"

    def put(self, key: str, data: bytes) -> str:
        """Write an object, past the proxy, and return its name."""
        self.direct.put_object(Bucket=self.name, Key=key, Body=data)
        return self.url(key)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        data: bytes = self.direct.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def list_keys(self) -> list[str]:
        """Return the keys of all objects."""
        return [o["Key"] for o in self.direct.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def uploads(self) -> list[str]:
        """Return the keys of unfinished uploads."""
        return [u["Key"] for u in self.direct.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]


@contextlib.contextmanager
def serve_moto() -> Iterator[int]:
    """Run moto's server, and yield its port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@contextlib.contextmanager
def serve_proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    with Proxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            proxy.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def moto_port() -> Iterator[int]:
    """Moto's server."""
    with serve_moto() as port:
        yield port


_numbers = iter(range(10**6))


@pytest.fixture
def bucket(moto_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of its own behind a proxy of its own, which this process and its children find by the environment."""
    from pairlift.storage import s3

    with serve_proxy(moto_port) as proxy:
        made = Bucket(f"bucket-{next(_numbers)}", proxy, moto_port)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        s3._client.cache_clear()
        monkeypatch.setattr(s3, "ADVICE", s3.ADVICE)
        yield made
        s3._client.cache_clear()
