"""The lock of a local file's job: only one process works in `OUTPUT.job/`, and a leftover folder is recognized.

The file `lock` is created first and removed last. All other files in the folder have names that a job gives. If a
folder of that name holds anything else, it does not belong to pairlift, and is not touched.
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
    """The locked directory of a job.

    Attributes:
        older: Whether an older version of pairlift left an unfinished job in it.
    """

    def __init__(self, store: DirectoryStore, names: Names, is_held: Callable[[], bool]) -> None:
        self._store, self._names, self._is_held = store, names, is_held
        self.older = f"{names.folder}{OLD_JOURNAL}" in self._list()

    def check(self) -> None:
        """Raise a `DestinationError` if the directory was removed or replaced."""
        if not self._is_held():
            raise DestinationError(
                f"{self._store.root}{self._names.folder}: was removed or replaced while this process was using it; run the same "
                "command again"
            )

    def clear(self, but: Collection[str] = ()) -> None:
        """Remove all files in the directory except the lock and the given ones."""
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
    """Create the directory of a job if it does not exist, and hold its lock.

    Raises:
        DestinationError: Another process holds the lock, or the directory does not belong to pairlift.
    """
    where = f"{store.root}{names.folder}"
    while True:
        found = [name.removeprefix(names.folder) for name in store.files.walk(names.folder)]
        strange = [name for name in found if not OWN_NAME.fullmatch(name) and not OLD_NAME.fullmatch(name)]
        lost = [name for name in found if not MARKED_NAME.fullmatch(name)]
        if strange or (lost and LOCK not in found):  # a worker that outlived its job may have left files without a lock
            raise DestinationError(
                f"{where}: holds {(strange or found)[0]}, which does not belong to a pairlift job; move it, or choose another output"
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
