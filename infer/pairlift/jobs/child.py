"""Work in a process of its own: a job goes in, an answer comes out, and the child does not outlive its parent.

The child's standard input is a pipe whose other end the parent alone has. The job comes through it, and nothing after that: where
it ends, the parent is no more. What libraries print to standard output is thrown away, for the answer comes there.
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
    """A child ended without an answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a child says.

    Attributes:
        text: What the work returned, or the error's message.
        error: The name of the error's class.
    """

    format: int = 1
    text: str
    error: str | None = None


def run_child(module: str, job: object, what: str, environment: Mapping[str, str]) -> str:
    """Have a module do a job in a process of its own, and return what it has to say.

    Args:
        module: What calls `serve_parent` when it is run.
        job: A record.
        what: The process in words, for messages.
        environment: Variables that the child has besides ours.

    Raises:
        PairliftError: The one that the work raised.
        ChildError: It ended otherwise; a bug's traceback is then on standard error.
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
            child.kill()  # if it is alive
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
    """Do the job that the parent sends, tell it the outcome, and return the exit code.

    Args:
        kind: The job's record.
        work: Does it, and returns what is to be said of it; its `PairliftError` becomes the parent's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both, and the parent ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    length = sys.stdin.buffer.read(_LENGTH)
    data = sys.stdin.buffer.read(int.from_bytes(length))
    if len(length) < _LENGTH or len(data) < int.from_bytes(length):
        return INTERNAL  # the parent is no more
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
    with contextlib.suppress(BrokenPipeError):  # it has died, and its code says of what
        while data:
            data = data[os.write(pipe, data) :]


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}: this is a bug in pairlift; please report the lines above"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
