"""What was written, renamed or replaced is on the disk, or there is an error."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from pairlift.storage.durable import rename, replace_file, sync


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_sync_directories_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", fail(number))
    sync(tmp_path)


def test_a_directory_that_was_not_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync(tmp_path)


def test_a_file_that_was_not_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"one")
    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument"):
        sync(path)
    with pytest.raises(OSError, match="Invalid argument"):
        replace_file(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_is_durable_before_a_renaming_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "name").write_bytes(b"one")
    seen = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: seen.append((os.fstat(descriptor).st_ino, (tmp_path / "name").read_bytes()))
    )
    rename(tmp_path / "new", tmp_path / "name")
    assert seen == [(tmp_path.stat().st_ino, b"two")]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_file(path, lambda file: file.write(b"one"))
    (tmp_path / ".run.json.partial").write_bytes(b"what a killed process left")
    with pytest.raises(ZeroDivisionError):
        replace_file(path, lambda file: file.write(b"half") / 0)
    assert path.read_bytes() == b"one"
    replace_file(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def fail(number: int) -> Any:
    """Return a call that fails."""

    def call(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return call
