"""A bundle, which is checked against its manifest before anything in it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath

from pairlift import record
from pairlift.digest import FileDigest, sha256_bytes
from pairlift.encoding.encoder import EncoderRecord
from pairlift.encoding.packing import TRUNCATIONS
from pairlift.encoding.tokenizer import TokenizerRecord
from pairlift.errors import BundleError
from pairlift.model.folder import Folder, open_folder
from pairlift.model.manifest import MANIFEST, RUNTIME, TOKENIZER, Manifest


class Bundle:
    """A bundle whose list of files has been checked, and whose files are hashed as they are read.

    Attributes:
        path: The directory, or `s3://bucket/prefix`.
        manifest: The parsed manifest.json.
        data: The bytes of manifest.json.
        digest: The SHA-256 of `data`, which covers every other file.
    """

    def __init__(self, folder: Folder, manifest: Manifest, data: bytes) -> None:
        self.path = folder.name
        self.manifest = manifest
        self.data = data
        self.digest = sha256_bytes(data)
        self._folder = folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open a bundle: a directory, or objects under `s3://bucket/prefix`.

        Raises:
            InputError: There is no such directory, or it is a `.keras` file.
            BundleError: The manifest is missing or cannot be read, or does not list a file that is there.
        """
        folder = open_folder(path)
        where = f"{folder.name}/{MANIFEST}"
        try:
            data = folder.read(MANIFEST)
        except FileNotFoundError:
            run = " (it is a training run: pairlift export it first)" if "run.json" in folder.sizes() else ""
            raise BundleError(f"{folder.name}: holds no {MANIFEST}, so it is not a bundle{run}") from None
        manifest = record.load(Manifest, data, where)
        _check_manifest(manifest, where)
        bundle = cls(folder, manifest, data)
        bundle._refuse_strangers()
        return bundle

    def at(self, name: str) -> str:
        """Return the name of a file in messages."""
        return f"{self.path}/{name}"

    @cached_property
    def encoder_record(self) -> EncoderRecord:
        """The tokenizer and the packing."""
        tokenizer = record.load(TokenizerRecord, self.read(TOKENIZER), self.at(TOKENIZER))
        return EncoderRecord(tokenizer=tokenizer, packing=self.manifest.packing)

    def read(self, name: str) -> bytes:
        """Return a file's bytes, after comparing them with the manifest.

        Raises:
            BundleError: The file is not listed, missing, or altered.
        """
        listed = next((f for files in self.manifest.groups.values() for f in files if f.path == name), None)
        if listed is None:
            raise BundleError(f"{self.path}: {name} is not listed in {MANIFEST}")
        try:
            data = self._folder.read(name)
        except FileNotFoundError:
            raise BundleError(f"{self.at(name)}: missing; export the bundle again, or copy all of it") from None
        if len(data) != listed.size or sha256_bytes(data) != listed.sha256:
            raise _altered(self.at(name), listed, len(data))
        return data

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The files that exist, with their sizes in bytes."""
        return self._folder.sizes()

    def has(self, group: str) -> bool:
        """Whether a group of files is listed and all its files exist."""
        files = self.manifest.groups.get(group, ())
        return bool(files) and all(f.path in self.sizes for f in files)

    def verify_files(self) -> int:
        """Hash every file of every group that exists, and return how many were hashed.

        Raises:
            BundleError: A file is altered, or is missing from a group of which other files exist.
        """
        count = 0
        for group, files in self.manifest.groups.items():
            there = [f for f in files if f.path in self.sizes]
            if len(there) not in (0, len(files)) or (group == RUNTIME and not there):
                lost = next(f for f in files if f not in there)
                raise BundleError(f"{self.at(lost.path)}: missing; export the bundle again, or copy all of it")
            for file in there:
                if self.sizes[file.path] != file.size or self._folder.sha256(file.path) != file.sha256:
                    raise _altered(self.at(file.path), file, self.sizes[file.path])
                count += 1
        return count

    def _refuse_strangers(self) -> None:
        listed = {f.path for files in self.manifest.groups.values() for f in files} | {MANIFEST}
        stranger = next((name for name in self.sizes if name not in listed), None)
        if stranger is not None:
            raise BundleError(
                f"{self.at(stranger)}: not listed in {MANIFEST}; remove it: a bundle may contain only the files of its export"
            )


def _altered(path: str, listed: FileDigest, size: int) -> BundleError:
    found = (
        f"{size} bytes, expected {listed.size}" if size != listed.size else f"a sha256 other than {listed.sha256[:12]}…"
    )
    return BundleError(f"{path}: altered since the export (found {found}); export the bundle again, or copy all of it")


def _check_manifest(manifest: Manifest, where: str) -> None:
    for files in manifest.groups.values():
        for file in files:
            parts = PurePosixPath(file.path).parts
            if file.path.startswith("/") or ".." in parts or not parts or "\\" in file.path or "\0" in file.path:
                raise BundleError(f"{where}: lists {file.path!r}, a path outside the bundle")
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
    truncation = manifest.packing.truncation
    if truncation not in TRUNCATIONS:
        raise BundleError(
            f"{where}: packing: truncation: found {truncation!r}, expected {' or '.join(map(repr, TRUNCATIONS))}"
        )
