"""The folder of a bundle: plain files in a directory, or objects under a prefix."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from pairlift.digest import sha256_bytes, sha256_file
from pairlift.errors import BundleError, InputError, StorageError
from pairlift.storage.url import is_remote, parse_url


class Folder(Protocol):
    """The files of a bundle; `name` is the folder as the user named it."""

    name: str

    def read(self, file: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileNotFoundError: The file does not exist.
            BundleError: It is not a plain file.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes. Raises a `BundleError` if one of them is not a plain file."""
        ...

    def sha256(self, file: str) -> str:
        """Return a file's sha256."""
        ...


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """Return the folder of a bundle.

    Raises:
        InputError: The directory does not exist, or is a `.keras` file.
    """
    if is_remote(str(path)):
        return BucketFolder(str(path))
    root = Path(path)
    if root.is_file() or root.suffix == ".keras":
        raise InputError(
            f"{root}: found a file, expected a bundle directory; make one with: pairlift export {root} BUNDLE"
        )
    if not root.is_dir():
        raise InputError(f"{root}: no such bundle directory")
    return DirectoryFolder(root)


class DirectoryFolder:
    """Files in a directory."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def read(self, file: str) -> bytes:
        """Return a plain file's bytes; see `Folder.read`."""
        try:
            descriptor = os.open(self._path / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BundleError(f"{self._path / file}: not a plain file that can be read ({error.strerror})") from error
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise BundleError(f"{self._path / file}: not a plain file")
            return opened.read()

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes; see `Folder.sizes`."""
        found = {}
        for folder, folders, files in os.walk(self._path):
            for name in folders + files:
                path = Path(folder) / name
                if path.is_symlink():
                    raise BundleError(f"{path}: a symbolic link; a bundle holds plain files only")
                if name in files:
                    found[path.relative_to(self._path).as_posix()] = path.stat().st_size
        return found

    def sha256(self, file: str) -> str:
        """Return a file's sha256, read in blocks."""
        return sha256_file(self._path / file)


class BucketFolder:
    """Objects under a prefix."""

    def __init__(self, name: str) -> None:
        from pairlift.storage.bucket import BucketStore

        self.name = name.rstrip("/")
        self._store = BucketStore(parse_url(f"{self.name}/"))

    def read(self, file: str) -> bytes:
        """Return an object's bytes; see `Folder.read`."""
        try:
            data = self._store.read(file)
        except StorageError as error:
            raise InputError(str(error)) from error
        if data is None:
            raise FileNotFoundError(f"{self.name}/{file}")
        return data

    def sizes(self) -> dict[str, int]:
        """Return all objects with their sizes, except the empty objects that some tools create for folders."""
        try:
            found = {name: found.size for name, found in self._store.find().items()}
        except StorageError as error:
            raise InputError(str(error)) from error
        return {name: size for name, size in found.items() if name and not name.endswith("/")}

    def sha256(self, file: str) -> str:
        """Return an object's sha256."""
        return sha256_bytes(self.read(file))
