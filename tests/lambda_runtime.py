"""AWS Lambda on this machine: its Runtime API, and Lambda's own Python runtime in a process, as in a container there."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

API = "/2018-06-01/runtime"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:pairlift"
MOST_SECONDS = 60.0  # that a test waits for an answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from an invocation: the payload as it was sent, and whether it is an error."""

    request_id: str
    payload: bytes
    failed: bool

    @property
    def value(self) -> Any:
        """The payload's JSON; NaN and infinity are none."""
        return json.loads(self.payload, parse_constant=lambda name: _refuse(name))

    @property
    def error(self) -> tuple[str, str]:
        """The error's type and message."""
        assert self.failed, self.payload
        return self.value["errorType"], self.value["errorMessage"]


def _refuse(name: str) -> None:
    raise ValueError(f"{name} in an answer")


class Server(ThreadingHTTPServer):
    """The server of the Runtime API; a connection that the function's end breaks off is nothing to speak of."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class LambdaRuntime:
    """A container of a Lambda function: a context manager that starts it, invokes it and ends it.

    Attributes:
        init_error: What the function said when it could not be loaded, or None.
        api: The address of the Runtime API.
        started: When the process was started, by `time.monotonic`.
        ready: When it first asked for an event, or None.
    """

    def __init__(
        self,
        path: str,
        environment: Mapping[str, str],
        task_root: Path,
        handler: str = "pairlift.aws.handler",
        python: str = sys.executable,
        under: Sequence[str] = (),
    ) -> None:
        """Prepare a container.

        Args:
            path: PYTHONPATH of the function, beside what the interpreter has.
            environment: Its environment; of this process it gets PATH alone.
            task_root: The working directory, and LAMBDA_TASK_ROOT.
            handler: What is called.
            python: The interpreter.
            under: A command that becomes the interpreter, given its command line: `taskset 1`.
        """
        self.init_error: Answer | None = None
        self.started = 0.0
        self.ready: float | None = None
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._answers: dict[str, Answer] = {}
        self._come = threading.Condition()
        self._server = Server(("127.0.0.1", 0), self._make_api())
        self.api = f"127.0.0.1:{self._server.server_port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed at the end of the container
        self._command = [*under, python, "-m", "awslambdaric", handler]
        self._task_root = task_root
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(task_root),
            "AWS_LAMBDA_RUNTIME_API": self.api,
            "AWS_LAMBDA_FUNCTION_NAME": "pairlift",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            **environment,
        }

    def __enter__(self) -> LambdaRuntime:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            self._command, cwd=self._task_root, env=self._environment, stdout=self._log, stderr=self._log
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def invoke(self, event: object, seconds: float = 30.0) -> Answer:
        """Invoke the function and return its answer; arguments as `send`."""
        return self.wait(self.send(event, seconds))

    def send(self, event: object, seconds: float = 30.0) -> str:
        """Invoke the function, and return the name of the invocation.

        Args:
            event: JSON values, or bytes as they are.
            seconds: The time that the function is told it has; it is not ended when they are over.
        """
        request_id = str(uuid.uuid4())
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._waiting.put({"id": request_id, "payload": payload, "deadline": int(1000 * (time.time() + seconds))})
        return request_id

    def wait(self, request_id: str) -> Answer:
        """Return the answer of an invocation.

        Raises:
            RuntimeError: The container has ended, or does not answer.
        """
        self._wait(lambda: request_id in self._answers)
        return self._answers.pop(request_id)

    def kill(self) -> None:
        """End the container at once."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def wait_until_ready(self) -> float:
        """Return the seconds from the process's start until it asked for its first event."""
        self._wait(lambda: self.ready is not None)
        assert self.ready is not None
        return self.ready - self.started

    def wait_for_init_error(self) -> tuple[str, str]:
        """Return the type and the message of the error that the function could not be loaded by."""
        self._wait(lambda: self.init_error is not None)
        assert self.init_error is not None
        return self.init_error.error

    def read_log(self) -> str:
        """Return all that the function has printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()  # the function writes on at the file's own place

    def read_entries(self) -> list[dict[str, Any]]:
        """Return the log's lines of invocations, those that have been written so far."""
        return [json.loads(line) for line in self.read_log().splitlines() if line.startswith('{"pairlift"')]

    def _wait(self, come: Any) -> None:
        until = time.monotonic() + MOST_SECONDS
        with self._come:
            while not self._come.wait_for(come, 0.2):
                ended = self._process.poll() is not None
                if (ended and not self._come.wait_for(come, 0.5)) or time.monotonic() > until:
                    raise RuntimeError(f"the function {'ended' if ended else 'does not answer'}: {self.read_log()}")

    def _note_ready(self) -> None:
        with self._come:
            self.ready = self.ready or time.monotonic()
            self._come.notify_all()

    def _take(self, name: str, payload: bytes) -> None:
        *_, request_id, what = name.split("/")
        answer = Answer(request_id=request_id, payload=payload, failed=what == "error")
        with self._come:
            if request_id == "init":
                self.init_error = answer
            else:
                self._answers[request_id] = answer
            self._come.notify_all()

    def _make_api(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler of the Runtime API."""
        runtime = self

        class Api(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or an answer's body waits 40 ms for its head to be acknowledged

            def do_GET(self) -> None:
                """Give the next invocation, when there is one."""
                runtime._note_ready()
                found = runtime._waiting.get() if self.path == f"{API}/invocation/next" else None
                if found is None:
                    self._answer(404, b"")
                    return
                self._answer(
                    200,
                    found["payload"],
                    {
                        "Lambda-Runtime-Aws-Request-Id": found["id"],
                        "Lambda-Runtime-Deadline-Ms": str(found["deadline"]),
                        "Lambda-Runtime-Invoked-Function-Arn": ARN,
                    },
                )

            def do_POST(self) -> None:
                """Take an answer or an error, but none that a death has cut off."""
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:
                    self.close_connection = True
                    return
                runtime._take(self.path, body)
                self._answer(202, b'{"status":"OK"}')

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

            def _answer(self, status: int, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

        return Api
