"""A bundle on disk: opened, and held to its manifest before anything in it is used."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from pathlib import Path, PurePosixPath

from pairlift import record
from pairlift.digest import FileDigest, sha256_bytes, sha256_file
from pairlift.encoder import EncoderRecord
from pairlift.errors import BundleError, InputError
from pairlift.manifest import MANIFEST, RUNTIME, TOKENIZER, Manifest
from pairlift.tokenizer import TokenizerRecord


class Bundle:
    """A bundle whose list of files has been checked, and whose files are hashed as they are read.

    Attributes:
        path: The directory.
        manifest: What it holds.
        digest: Sha256 of manifest.json, which covers every other file.
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open a bundle directory.

        Raises:
            InputError: There is no such directory, or it is a `.keras` file.
            BundleError: No manifest, one that cannot be read, or a file that is not listed.
        """
        root = Path(path)
        if root.is_file() or root.suffix == ".keras":
            raise InputError(
                f"{root}: found a file, expected a bundle directory; make one with: pairlift export {root} BUNDLE"
            )
        if not root.is_dir():
            raise InputError(f"{root}: no such bundle directory")
        try:
            data = _read_regular(root, MANIFEST)
        except FileNotFoundError:
            run = " (it is a training run: pairlift export it first)" if (root / "run.json").is_file() else ""
            raise BundleError(f"{root}: holds no {MANIFEST}, so it is not a bundle{run}") from None
        manifest = record.load(Manifest, data, str(root / MANIFEST))
        _check_manifest(manifest, root)
        bundle = cls(root, manifest, sha256_bytes(data))
        bundle._refuse_strangers()
        return bundle

    @cached_property
    def encoder_record(self) -> EncoderRecord:
        """The tokenizer and the packing."""
        tokenizer = record.load(TokenizerRecord, self.read(TOKENIZER), str(self.path / TOKENIZER))
        return EncoderRecord(tokenizer=tokenizer, packing=self.manifest.packing)

    def read(self, name: str) -> bytes:
        """Return a file's bytes, which are the ones the manifest was written for.

        Raises:
            BundleError: Not listed, missing, or altered.
        """
        listed = next((f for files in self.manifest.groups.values() for f in files if f.path == name), None)
        if listed is None:
            raise BundleError(f"{self.path}: {name} is not listed in {MANIFEST}")
        try:
            data = _read_regular(self.path, name)
        except FileNotFoundError:
            raise BundleError(f"{self.path / name}: missing; export the bundle again, or copy it whole") from None
        if len(data) != listed.size or sha256_bytes(data) != listed.sha256:
            raise _altered(self.path / name, listed, len(data))
        return data

    def has(self, group: str) -> bool:
        """Whether a group of files is listed and there."""
        files = self.manifest.groups.get(group, ())
        return bool(files) and all((self.path / f.path).is_file() for f in files)

    def verify_files(self) -> int:
        """Hash every file of every group that is there and return how many were hashed.

        Raises:
            BundleError: A file is missing from a group that is there in part, or altered.
        """
        count = 0
        for group, files in self.manifest.groups.items():
            there = [f for f in files if (self.path / f.path).exists()]
            if len(there) not in (0, len(files)) or (group == RUNTIME and not there):
                lost = next(f for f in files if f not in there)
                raise BundleError(f"{self.path / lost.path}: missing; export the bundle again, or copy it whole")
            for file in there:
                path = self.path / file.path
                if path.stat().st_size != file.size or sha256_file(path) != file.sha256:
                    raise _altered(path, file, path.stat().st_size)
                count += 1
        return count

    def _refuse_strangers(self) -> None:
        listed = {f.path for files in self.manifest.groups.values() for f in files} | {MANIFEST}
        for folder, folders, files in os.walk(self.path):
            for name in folders + files:
                path = Path(folder) / name
                relative = path.relative_to(self.path).as_posix()
                if path.is_symlink():
                    raise BundleError(f"{path}: a symbolic link; a bundle holds plain files only")
                if name in files and relative not in listed:
                    raise BundleError(
                        f"{path}: not listed in {MANIFEST}; a bundle holds what it was exported with and nothing else"
                    )


def _read_regular(root: Path, name: str) -> bytes:
    try:
        descriptor = os.open(root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BundleError(f"{root / name}: not a plain file that can be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BundleError(f"{root / name}: not a plain file")
        return file.read()


def _altered(path: Path, listed: FileDigest, size: int) -> BundleError:
    found = (
        f"{size} bytes, expected {listed.size}"
        if size != listed.size
        else f"other bytes than sha256 {listed.sha256[:12]}…"
    )
    return BundleError(f"{path}: altered since the export (found {found}); export the bundle again, or copy it whole")


def _check_manifest(manifest: Manifest, root: Path) -> None:
    where = root / MANIFEST
    for files in manifest.groups.values():
        for file in files:
            parts = PurePosixPath(file.path).parts
            if file.path.startswith("/") or ".." in parts or not parts or "\\" in file.path or "\0" in file.path:
                raise BundleError(f"{where}: lists {file.path!r}, a path out of the bundle")
    for name, variant in manifest.variants.items():
        if variant.file not in {f.path for f in manifest.groups.get(name, ())}:
            raise BundleError(f"{where}: variant {name} names {variant.file}, which its group does not list")
    if not manifest.variants:
        raise BundleError(f"{where}: lists no variant")
    if len(manifest.fields) != 2 or len(set(manifest.fields)) != 2:
        raise BundleError(f"{where}: fields: found {list(manifest.fields)}, expected two different names")
    if len(manifest.labels) < 2 or len(set(manifest.labels)) != len(manifest.labels):
        raise BundleError(f"{where}: labels: found {list(manifest.labels)}, expected two or more different names")
    if not 0 < manifest.temperature < float("inf"):
        raise BundleError(f"{where}: temperature: found {manifest.temperature}, expected a number above 0")
    if manifest.activation != "softmax":
        raise BundleError(f"{where}: activation: found {manifest.activation!r}, expected 'softmax'")
