"""Run a job in a child process that returns an answer and does not outlive its parent.

The child's standard input is a pipe whose other end only the parent holds. The parent sends the job through it, and
nothing else. When the pipe reaches its end, the parent has died. The child returns its answer on standard output, so
what libraries print there is discarded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import TypeVar

from pairlift import errors, record
from pairlift.errors import INTERNAL, PairliftError, RecordError

R = TypeVar("R")
_LENGTH = 8


class ChildError(PairliftError):
    """A child process ended without an answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a child process.

    Attributes:
        text: The value that the work returned, or the error's message.
        error: The name of the error's class; None if the work succeeded.
    """

    format: int = 1
    text: str
    error: str | None = None


def run_child(module: str, job: object, what: str, environment: Mapping[str, str]) -> str:
    """Run a job by a module in a child process, and return the text of its answer.

    Args:
        module: The module to run; it calls `serve_parent`.
        job: The job, a record.
        what: A name for the child process, for messages.
        environment: Environment variables of the child, in addition to this process's own.

    Raises:
        PairliftError: The work raised this error.
        ChildError: The child ended without an answer; after a bug, its traceback is on standard error.
    """
    data = record.dump(job)
    command = [sys.executable, "-m", module]
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    ) as child:
        assert child.stdin and child.stdout
        try:
            _send(child.stdin.fileno(), len(data).to_bytes(_LENGTH) + data)
            said = child.stdout.read()
            code = child.wait()
        finally:
            child.kill()  # if it is still running
    try:
        answer = record.load(Answer, said, what)
    except RecordError:
        raise ChildError(f"{what} {_describe(code)}") from None
    if answer.error is None and code == 0:
        return answer.text
    if answer.error is None:
        raise ChildError(f"{what} {_describe(code)}")
    kind: type[PairliftError] = getattr(errors, answer.error, ChildError)
    raise kind(answer.text)


def serve_parent(kind: type[R], work: Callable[[R], str]) -> int:
    """Do the job that the parent sends, send the answer, and return the exit code.

    Args:
        kind: The class of the job's record.
        work: Does the job, and returns the text of the answer. If it raises a `PairliftError`, the parent raises it
            too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both processes, and the parent ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    length = sys.stdin.buffer.read(_LENGTH)
    data = sys.stdin.buffer.read(int.from_bytes(length))
    if len(length) < _LENGTH or len(data) < int.from_bytes(length):
        return INTERNAL  # the parent has died
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer, code = Answer(text=work(record.load(kind, data, "the job"))), 0
    except PairliftError as error:
        answer, code = Answer(text=str(error), error=type(error).__name__), error.exit_code
    except Exception:
        traceback.print_exc()
        return INTERNAL
    with answers:
        answers.write(record.dump(answer))
    return code


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(INTERNAL)


def _send(pipe: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # the child has died, and its exit code says why
        while data:
            data = data[os.write(pipe, data) :]


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}: this is a bug in pairlift; please report the lines above"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
