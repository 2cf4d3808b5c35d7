"""A directory appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pairlift.errors import DestinationError, Stopped, StorageError, UsageError
from pairlift.storage.staging import staged_directory, staged_file, storage_errors


def make(path: Path, text: str, force: bool = False) -> None:
    """Stage a directory of one file."""
    with staged_directory(path, "mark.json", force) as stage:
        (stage / "mark.json").write_text(text)


def test_it_takes_its_name_when_the_block_ends_well(tmp_path: Path) -> None:
    make(tmp_path / "made", "one")
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made/mark.json").read_text() == "one"


def test_a_failing_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_directory(tmp_path / "made", "mark.json") as stage:
        (stage / "mark.json").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_ours_is_replaced_only_with_force(tmp_path: Path) -> None:
    make(tmp_path / "made", "one")
    with pytest.raises(DestinationError, match="add --force to replace it"):
        make(tmp_path / "made", "two")
    assert (tmp_path / "made/mark.json").read_text() == "one"
    make(tmp_path / "made", "two", force=True)
    assert (tmp_path / "made/mark.json").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_strangers_directory_is_not_replaced_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/precious").write_text("x")
    with pytest.raises(DestinationError, match=r"holds no mark\.json, so pairlift does not replace it"):
        make(tmp_path / "made", "two", force=True)
    assert (tmp_path / "made/precious").read_text() == "x"


def test_one_that_came_while_the_block_ran_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(DestinationError), staged_directory(tmp_path / "made", "mark.json") as stage:
        (stage / "mark.json").write_text("late")
        make(tmp_path / "made", "first")
    assert (tmp_path / "made/mark.json").read_text() == "first"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_storage_error_that_asks_for_space(tmp_path: Path, number: int) -> None:
    reason = os.strerror(number)
    expected = f"cannot write made/model.onnx: {reason}; free space there, then run the same command again"
    with pytest.raises(StorageError) as caught, staged_directory(tmp_path / "made", "mark.json"):
        raise OSError(number, reason, "made/model.onnx")
    assert str(caught.value) == expected
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_the_disk_does_not_speak_of_space() -> None:
    with pytest.raises(StorageError) as caught, storage_errors("out.csv"):
        raise OSError(errno.EIO, "Input/output error")
    assert str(caught.value) == "out.csv: Input/output error; fix this, then run the same command again"


def test_a_reader_that_has_enough_is_no_error() -> None:
    with pytest.raises(Stopped) as caught, storage_errors("standard output"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert caught.value.number == signal.SIGPIPE


@pytest.mark.parametrize("length", [240, 300])
@pytest.mark.parametrize("stage", [lambda path: staged_directory(path, "mark.json"), staged_file])
def test_a_name_that_is_too_long_is_a_usage_error(tmp_path: Path, length: int, stage: Any) -> None:
    path = tmp_path / ("n" * length)
    with pytest.raises(UsageError) as caught, stage(path):
        pass
    assert str(caught.value) == f"{path}: the name is too long for this file system; choose a shorter one"
    assert list(tmp_path.iterdir()) == []
