"""Errors while reading a file: damage to the file is permanent, and a failure of its storage may be temporary."""

from __future__ import annotations

import errno
import gzip
import zlib
from typing import BinaryIO

from pairlift.errors import InputError, first_line

FAILURES = (OSError, EOFError, zlib.error)  # raised by a stream of bytes, compressed or not


def explain_failure(error: Exception, source: str, where: str) -> InputError:
    """Return the error for one of `FAILURES`.

    Args:
        error: The exception.
        source: The file's name.
        where: How far the file had been read, for example `after line 7`.
    """
    if isinstance(error, EOFError | zlib.error):
        return InputError(f"{source}: cut off or damaged {where} ({error}); copy the file again")
    if isinstance(error, gzip.BadGzipFile):  # a subclass of OSError, but it means damage
        return InputError(f"{source}: cannot be read {where} ({error})")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return InputError(f"{source}: cannot be read {where} ({reason}); run the same command again", passing=True)


class WatchedFile:
    """A wrapper that remembers the last error of a file, for a library that replaces such errors by its own.

    Attributes:
        failure: The last exception that the file raised, or None.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: BaseException | None = None

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        try:
            return self._file.read(size)
        except BaseException as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek in the file. An invalid offset, which damaged metadata may contain, is not a failure of the file."""
        try:
            return self._file.seek(offset, whence)
        except ValueError:
            raise
        except BaseException as error:
            if not (isinstance(error, OSError) and error.errno == errno.EINVAL):
                self.failure = error
            raise

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._file.tell()

    def check(self, source: str, where: str) -> None:
        """Raise the failure, if there is one: an `OSError` as an `InputError` with `passing`, others unchanged."""
        failure, self.failure = self.failure, None
        if isinstance(failure, OSError):
            raise explain_failure(failure, source, where) from failure
        if failure is not None:
            raise failure
