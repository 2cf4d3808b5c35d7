"""Operations on the files of a directory, by system calls."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

from pairlift.errors import DestinationError
from pairlift.storage.files import describe, sync_descriptor, take_lock
from pairlift.storage.store import Stored, Write

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RealFiles:
    """Files of a directory, which is opened once: a directory that replaces it later is not used."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._descriptor: int | None = None

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def write(self, name: str, write: Write) -> Stored:
        """See `Files.write`."""
        with self._folder(name, make=True) as (folder, last):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(last, flags, 0o666, dir_fd=folder)
            except FileNotFoundError:  # the folder was removed since it was opened
                if "/" not in name:
                    raise
                return self.write(name, write)
            try:
                with os.fdopen(descriptor, "w+b") as file:
                    write(file)
                    file.flush()
                    os.fsync(descriptor)
                    size = file.tell()
                    file.seek(0)
                    return Stored(size=size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(last, dir_fd=folder)
                raise

    def link(self, source: str, name: str) -> None:
        """See `Files.link`."""
        with self._folder(source) as (before, last), self._folder(name, make=True) as (after, new):
            os.link(last, new, src_dir_fd=before, dst_dir_fd=after, follow_symlinks=False)

    def rename(self, source: str, name: str) -> None:
        """See `Files.rename`."""
        with self._folder(source) as (before, last), self._folder(name, make=True) as (after, new):
            os.rename(last, new, src_dir_fd=before, dst_dir_fd=after)

    def unlink(self, name: str) -> None:
        """See `Files.unlink`."""
        with self._folder(name) as (folder, last):
            os.unlink(last, dir_fd=folder)

    def rmdir(self, name: str) -> None:
        """See `Files.rmdir`."""
        with self._folder(name) as (folder, last):
            os.rmdir(last, dir_fd=folder)

    def sync(self, name: str) -> None:
        """See `Files.sync`."""
        with self._folder(name) as (folder, _):
            sync_descriptor(folder)

    def read(self, name: str) -> bytes:
        """See `Files.read`."""
        with self.open(name) as file:
            return file.read()

    def digest(self, name: str) -> str:
        """See `Files.digest`."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def version(self, name: str) -> tuple[int, str]:
        """See `Files.version`."""
        with self._folder(name) as (folder, last):
            return describe(os.stat(last, dir_fd=folder, follow_symlinks=False))

    def walk(self, folder: str) -> Iterator[str]:
        """See `Files.walk`."""
        try:
            with self._folder(f"{folder}x") as (descriptor, _), os.scandir(descriptor) as entries:
                found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except FileNotFoundError:
            return
        for name, is_folder in found:
            if is_folder:
                yield from self.walk(f"{folder}{name}/")
            else:
                yield folder + name

    def prune(self, folder: str) -> None:
        """See `Files.prune`."""
        try:
            with self._folder(f"{folder}x") as (descriptor, _), os.scandir(descriptor) as entries:
                folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return
        for name in folders:
            self.prune(f"{folder}{name}/")
        with contextlib.suppress(OSError):  # the folder is not empty
            self.rmdir(folder.rstrip("/"))

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Callable[[], bool] | None]:
        """See `Files.locked`."""
        with self._folder(name) as (folder, last):
            descriptor = self._open_plain(folder, last, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, name)
        try:
            held = take_lock(descriptor, self._root + name)
            number = os.fstat(descriptor).st_ino

            def is_held() -> bool:
                try:
                    return self.version(name)[1].startswith(f"{number}-")
                except (FileNotFoundError, DestinationError):
                    return False

            if held and not is_held():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._root + name)
            yield is_held if held else None
        finally:
            os.close(descriptor)

    def open(self, name: str) -> BufferedReader:
        """Open a file for reading."""
        with self._folder(name) as (folder, last):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = self._open_plain(folder, last, flags, name)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DestinationError(f"{self._root}{name}: is not a plain file; remove it, or choose another output")
        return os.fdopen(descriptor, "rb")

    def _open_plain(self, folder: int, last: str, flags: int, name: str) -> int:
        try:
            return os.open(last, flags, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise DestinationError(f"{self._root}{name}: is a link; remove it, or choose another output") from None

    def check_owner(self, folder: str) -> None:
        """See `Files.check_owner`.

        This compares the folder's owner with the owner of a file that it creates there. On network file systems and in
        containers, that owner need not be the user that this process runs as.
        """
        try:
            with self._folder(f"{folder}x") as (descriptor, _):
                owner, above = os.fstat(descriptor).st_uid, os.stat("..", dir_fd=descriptor)
        except FileNotFoundError:
            return
        if owner == os.geteuid() or not above.st_mode & stat.S_IWOTH:
            return
        probe = f"{folder}.owner{os.getpid()}"
        self.write(probe, lambda file: None)
        try:
            with self._folder(probe) as (descriptor, last):
                ours = os.stat(last, dir_fd=descriptor, follow_symlinks=False).st_uid
        finally:
            self.unlink(probe)
        if owner != ours:
            raise DestinationError(
                f"{self._root}{folder}: was made by another user (number {owner}) in a folder that everybody may write to; "
                "remove it, or choose another output"
            )

    @contextlib.contextmanager
    def _folder(self, name: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the folder that a name is in, and the last part of the name."""
        *folders, last = name.split("/")
        current, below = self._open_root(make), ""
        opened: list[int] = []
        try:
            for each in folders:
                below += f"{each}/"
                current = self._enter(current, each, below, make)
                opened.append(current)
            yield current, last
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _enter(self, folder: int, name: str, below: str, make: bool) -> int:
        while True:
            try:
                return os.open(name, FOLDER_FLAGS, dir_fd=folder)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
                    sync_descriptor(folder)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise DestinationError(
                    f"{self._root}{below}: is a link or a file, expected a folder; remove it, or choose another output"
                ) from None

    def _open_root(self, make: bool) -> int:
        if self._descriptor is None:
            path = self._root or "."
            if make:
                with contextlib.suppress(FileExistsError):
                    Path(path).mkdir()
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._descriptor
