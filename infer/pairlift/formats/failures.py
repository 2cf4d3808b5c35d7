"""What went wrong while a file was read: damage is in the file for good, and what its storage could not do may pass."""

from __future__ import annotations

import errno
import gzip
import zlib
from typing import BinaryIO

from pairlift.errors import InputError, first_line

FAILURES = (OSError, EOFError, zlib.error)  # of a stream of bytes, packed or not


def explain_failure(error: Exception, source: str, where: str) -> InputError:
    """Return the error for one of `FAILURES`.

    Args:
        error: What was raised.
        source: The file's name.
        where: How far it was read, as in `after line 7`.
    """
    if isinstance(error, EOFError | zlib.error):
        return InputError(f"{source}: cut off or damaged {where} ({error}); copy the file again")
    if isinstance(error, gzip.BadGzipFile):  # an OSError by its type alone
        return InputError(f"{source}: cannot be read {where} ({error})")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return InputError(f"{source}: cannot be read {where} ({reason}); run the same command again", passing=True)


class WatchedFile:
    """A file for a library that makes errors of its own out of a file's: it keeps the last one that came from below.

    Attributes:
        failure: What the file raised, or None.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: BaseException | None = None

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def read(self, size: int = -1) -> bytes:
        """Read as the file does."""
        try:
            return self._file.read(size)
        except BaseException as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place as the file does; that there is none such, as damage may have it, is no failure of the file."""
        try:
            return self._file.seek(offset, whence)
        except ValueError:
            raise
        except BaseException as error:
            if not (isinstance(error, OSError) and error.errno == errno.EINVAL):
                self.failure = error
            raise

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._file.tell()

    def check(self, source: str, where: str) -> None:
        """Raise what the file raised, if it did: an `OSError` as an `InputError` that passes, anything else as it is."""
        failure, self.failure = self.failure, None
        if isinstance(failure, OSError):
            raise explain_failure(failure, source, where) from failure
        if failure is not None:
            raise failure
