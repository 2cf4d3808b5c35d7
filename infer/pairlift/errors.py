"""All errors of pairlift, and the exit code of each class.

    PairliftError                      exit code 1 means "finished, some rows rejected", which is not an error
    ├── UsageError                2    options, a missing column, a missing extra
    ├── InputError                3    unreadable, unsupported, changed while it was read
    ├── BundleError               4    a bundle is refused
    │   └── RecordError           4    a JSON record of pairlift cannot be read
    ├── StorageError              5    reading from or writing to the disk or the bucket failed
    ├── RejectsError              6    too many rejected rows
    ├── DestinationError          7    the destination exists or is locked
    ├── ChangedError              8    something has changed since the job began
    ├── AgreementError           10    parity, quality gate or golden replay failed
    └── Unfinished                     the job's time limit has expired; never on the command line

A row that cannot be scored raises `RowError`. The job turns it into a rejected row, so it has a reason and no
exit code. Anything else is a bug: exit code 9 and a traceback.
"""

from __future__ import annotations

import signal
from typing import ClassVar

INTERNAL = 9
SIGNALLED = 128


class PairliftError(Exception):
    """An error whose message says what was found, what was expected, where, and what to do."""

    exit_code: ClassVar[int] = INTERNAL


class UsageError(PairliftError):
    """The command or the call cannot be carried out as it was written."""

    exit_code = 2


class InputError(PairliftError):
    """An input file cannot be read, or is not what it should be.

    Attributes:
        passing: Whether the error is temporary, so that the finished chunks should be kept.
    """

    exit_code = 3

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class EmptyError(InputError):
    """An input file is empty, compressed or not. A single input may not be empty; one of several counts as no rows."""


class BundleError(PairliftError):
    """A bundle is incomplete or altered, or pairlift did not make it."""

    exit_code = 4


class RecordError(BundleError):
    """A JSON record does not have the fields or the format that were expected."""


class StorageError(PairliftError):
    """Reading or writing failed in the storage: disk full, no permission, input/output error."""

    exit_code = 5


class RejectsError(PairliftError):
    """More rows were rejected than the user allowed."""

    exit_code = 6


class DestinationError(PairliftError):
    """The destination already exists, or another process holds its lock."""

    exit_code = 7


class ChangedError(PairliftError):
    """The input, the bundle, an option or the runtime has changed since the job began."""

    exit_code = 8


class Unfinished(PairliftError):  # noqa: N818 (the job did not fail; only its time limit has expired)
    """The time limit of a job has expired; the finished chunks are kept.

    Attributes:
        rows: The number of rows done, by this call and earlier ones.
        progressed: Whether this call has done any rows.
    """

    def __init__(self, message: str, rows: int, progressed: bool) -> None:
        super().__init__(message)
        self.rows = rows
        self.progressed = progressed


class AgreementError(PairliftError):
    """Outputs that should be equal differ."""

    exit_code = 10


class Stopped(BaseException):
    """A signal asked the process to end."""

    def __init__(self, number: int, state: str = "nothing was left half-written") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {state}")
        self.number = number


class RowError(Exception):
    """One row cannot be scored.

    Attributes:
        reason: The reason code, one of those in docs/errors.md.
        detail: A description of what was found, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        return RowError, (self.reason, self.detail)

    def bare(self) -> RowError:
        """Return this error without its traceback and context, whose local variables may be as large as the row."""
        self.__traceback__ = self.__context__ = None
        return self


def missing_extra(what: str, extra: str) -> UsageError:
    """Return the error for a command, a format or a place whose extra is not installed."""
    return UsageError(f'{what} needs: pip install "pairlift[{extra}]"')


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, for a message of pairlift."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
