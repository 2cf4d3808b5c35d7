"""The lock of a local file's job: one process works in `OUTPUT.job/`, and what is left of it is known for what it was.

The file `lock` is made first and removed last, and beside it there are only files with names that a job gives: a directory of
that name with anything else in it is somebody else's, and is left alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator

from pairlift.errors import DestinationError
from pairlift.names import LOCK, MARK, OLD_JOURNAL, Names
from pairlift.storage.directory import DirectoryStore

AT_WORK = "another process is at work on this output; wait for it, or choose another name"
OWN_NAME = re.compile(rf"{LOCK}|job\.json|{MARK}/.*", re.DOTALL)
MARKED_NAME = re.compile(rf"{MARK}/.*", re.DOTALL)
OLD_NAME = re.compile(r"journal\.jsonl|output|rejects|manifest|\d{12}\.(part|rejects)")


class Lock:
    """The directory of a job, held.

    Attributes:
        older: Whether an older version of pairlift has left a job in it.
    """

    def __init__(self, store: DirectoryStore, names: Names, is_held: Callable[[], bool]) -> None:
        self._store, self._names, self._is_held = store, names, is_held
        self.older = f"{names.folder}{OLD_JOURNAL}" in self._list()

    def check(self) -> None:
        """See that the directory is still this one; a `DestinationError`."""
        if not self._is_held():
            raise DestinationError(
                f"{self._store.root}{self._names.folder}: was removed or replaced while a process was at work there; run the same "
                "command again"
            )

    def clear(self, but: Collection[str] = ()) -> None:
        """Remove all that is in the directory but the lock and some files."""
        kept = {self._names.lock, *but}
        self._store.remove(sorted((name for name in self._list() if name not in kept), reverse=True))

    def release(self) -> None:
        """Remove the directory if nothing is left of the job."""
        if self._is_held() and self._list() == [self._names.lock]:
            self._store.remove([self._names.lock])

    def _list(self) -> list[str]:
        return list(self._store.files.walk(self._names.folder))


@contextlib.contextmanager
def hold(store: DirectoryStore, names: Names) -> Iterator[Lock]:
    """Make the directory of a job if there is none, and hold it.

    Raises:
        DestinationError: Another process holds it, or the name is taken by something else.
    """
    where = f"{store.root}{names.folder}"
    while True:
        found = [name.removeprefix(names.folder) for name in store.files.walk(names.folder)]
        strange = [name for name in found if not OWN_NAME.fullmatch(name) and not OLD_NAME.fullmatch(name)]
        lost = [name for name in found if not MARKED_NAME.fullmatch(name)]
        if strange or (lost and LOCK not in found):  # a worker that lived on may have left files of its job alone
            raise DestinationError(
                f"{where}: holds {(strange or found)[0]}, which is not of a pairlift job; move it, or choose another output"
            )
        with contextlib.suppress(FileExistsError):
            store.files.write(names.lock, lambda file: None)
        with contextlib.suppress(FileNotFoundError), store.files.locked(names.lock) as is_held:
            if is_held is None:
                raise DestinationError(f"{where}: {AT_WORK}")
            lock = Lock(store, names, is_held)
            try:
                yield lock
            finally:
                lock.release()
            return
