"""The cache: results computed from data, stored under the digests of what they were computed from.

An entry is a directory `KIND/KEY` with `entry.json`, which lists the other files with their sizes and sha256. Every use
checks the files against the list; a damaged entry is made again. It is safe to remove the cache at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairlift import record
from pairlift.digest import FileDigest, digest_file
from pairlift.errors import RecordError
from pairlift.storage.leftovers import held_directory, remove_leftovers

ENTRY = "entry.json"

Arrays = dict[str, NDArray[Any]]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The files of an entry."""

    format: int = 1
    files: tuple[FileDigest, ...]


class Cache:
    """A directory of entries."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entry(self, kind: str, key: str, fill: Callable[[Path], None]) -> Path | None:
        """Return the directory of an entry, made by `fill` if missing or damaged; None if it cannot be written."""
        path = self._root / kind / key
        if _is_whole(path):
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path)
            with held_directory(path) as stage:
                fill(stage)
                files = tuple(digest_file(stage, file) for file in sorted(stage.iterdir()))
                (stage / ENTRY).write_bytes(record.dump(Entry(files=files)))
                if path.exists():
                    log.warning("%s: damaged; made again", path)
                    shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):  # another process has just created it
                    stage.rename(path)
        except OSError as error:
            log.warning("%s: the cache cannot be written (%s); continuing without it", self._root, error.strerror)
        return path if _is_whole(path) else None

    def arrays(self, kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return arrays, mapped from their files; `make` computes them if they are missing or damaged."""
        made: Arrays = {}

        def fill(folder: Path) -> None:
            made.update(make())
            for name, values in made.items():
                np.save(folder / f"{name}.npy", values, allow_pickle=False)

        path = self.entry(kind, key, fill)
        if path is None:
            return made or make()
        return {f.stem: np.asarray(np.load(f, mmap_mode="r", allow_pickle=False)) for f in sorted(path.glob("*.npy"))}


def find_cache(given: Path | None) -> Cache:
    """Return the cache in the given directory, or else in `pairlift` under `$XDG_CACHE_HOME` or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return Cache(given or (Path(home) if home else Path.home() / ".cache") / "pairlift")


def _is_whole(path: Path) -> bool:
    try:
        entry = record.load(Entry, (path / ENTRY).read_bytes(), str(path / ENTRY))
        names = {file.path for file in entry.files} | {ENTRY}
        return names == {file.name for file in path.iterdir()} and all(
            "/" not in file.path and digest_file(path, path / file.path) == file for file in entry.files
        )
    except (OSError, RecordError):
        return False
