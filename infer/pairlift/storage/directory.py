"""A store in a directory. A file is first written under a temporary name, and then hard-linked to its final name.

A hard link never replaces an existing file.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pairlift.errors import DestinationError
from pairlift.names import PARTIAL
from pairlift.storage.files import Files
from pairlift.storage.real_files import RealFiles
from pairlift.storage.store import Found, Ready, Stored, Write

NO_HARD_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK)


class DirectoryStore:
    """Files in a directory, which is created at the first write.

    To replace a file, a process locks the file that it replaces. So a process never replaces a version that another
    process has already removed or replaced.
    """

    def __init__(self, root: str, scratch: str = "", files: Files | None = None) -> None:
        """Use a directory as a store.

        Args:
            root: The directory's name, with a slash at its end; empty for the working directory.
            scratch: The folder below it for temporary files, with a folder for each mark.
            files: The operations on the directory; those of the operating system by default.
        """
        self.root = root
        self._scratch = scratch
        self.files: Files = files or RealFiles(root)

    def create(self, name: str, data: bytes, mark: str) -> Stored | None:
        """See `Store.create`."""
        return self.swap(name, lambda file: file.write(data), mark, None)

    def swap(
        self, name: str, write: Write, mark: str, expected: str | None, ready: Ready | None = None
    ) -> Stored | None:
        """See `Store.swap`."""
        partial = f"{self._scratch}{mark}/{uuid4().hex}{PARTIAL}"
        stored = self.files.write(partial, write)
        try:
            if ready is not None:
                ready(stored)
            done = self._give_name(partial, name) if expected is None else self._replace(partial, name, expected)
        except FileNotFoundError:
            raise DestinationError(
                f"{self.root}{self._scratch}: was removed while this process was using it; run the same command again"
            ) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.files.unlink(partial)
        if done:
            return stored
        with contextlib.suppress(OSError):  # remove the folder of a job that has not begun
            self.files.rmdir(f"{self._scratch}{mark}")
        return None

    def stat(self, name: str) -> Found | None:
        """See `Store.stat`."""
        try:
            size, version = self.files.version(name)
        except FileNotFoundError:
            return None
        return Found(size=size, version=version)

    def look(self, name: str) -> Found | None:
        """See `Store.look`."""
        try:
            size, version = self.files.version(name)
            return Found(size=size, version=version, sha256=self.files.digest(name))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        """See `Store.read`."""
        try:
            return self.files.read(name)
        except FileNotFoundError:
            return None

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """See `Store.read_all`."""
        return {name: data for name in names if (data := self.read(name)) is not None}

    def names(self, prefix: str) -> list[str]:
        """See `Store.names`."""
        return sorted(name for name in self.files.walk(prefix[: prefix.rfind("/") + 1]) if name.startswith(prefix))

    def find(self, prefix: str = "") -> dict[str, Found]:
        """See `Store.find`."""
        return {name: there for name in self.names(prefix) if (there := self.stat(name)) is not None}

    def find_altered(self, expected: Mapping[str, Stored]) -> list[str]:
        """See `Store.find_altered`. Reads each file."""
        return [name for name, stored in expected.items() if self._is_altered(name, stored)]

    def remove(self, names: Iterable[str]) -> None:
        """See `Store.remove`."""
        folders = set()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.files.unlink(name)
            folders |= {name[:i] for i in range(len(name)) if name[i] == "/"}
        for folder in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):  # the folder is not empty
                self.files.rmdir(folder)
        if self._scratch and any(folder.startswith(self._scratch.rstrip("/")) for folder in folders):
            self.files.prune(self._scratch)

    def tidy(self, names: Iterable[str]) -> None:
        """Remove the empty folders of dead processes. Their unfinished files are removed with the job's folder."""
        if self._scratch:
            self.files.prune(self._scratch)

    def probe(self, name: str, mark: str) -> None:
        """Do nothing: a hard link never replaces a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the directory's absolute name."""
        return DirectoryStore, (f"{Path(self.root or '.').absolute()}/", self._scratch)

    def _is_altered(self, name: str, expected: Stored) -> bool:
        try:
            return self.files.version(name)[0] != expected.size or self.files.digest(name) != expected.sha256
        except FileNotFoundError:
            return True

    def _give_name(self, partial: str, name: str) -> bool:
        try:
            self.files.link(partial, name)
        except FileExistsError:
            if not self._is_same(partial, name):  # on a network, the answer to a successful link may get lost
                return False
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            if self._is_there(name):
                return False
            self.files.rename(partial, name)
        self.files.sync(name)
        return True

    def _replace(self, partial: str, name: str, expected: str) -> bool:
        try:
            with self.files.locked(name) as held:
                if held is None or self.files.version(name)[1] != expected:
                    return False
                self.files.rename(partial, name)
        except FileNotFoundError:
            if not self._is_there(partial):
                raise
            return False
        self.files.sync(name)
        return True

    def _is_same(self, partial: str, name: str) -> bool:
        try:
            return self.files.version(partial) == self.files.version(name)
        except FileNotFoundError:
            return False

    def _is_there(self, name: str) -> bool:
        return self.stat(name) is not None
