"""A directory appears whole under its name, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pairlift.errors import DestinationError, StorageError
from pairlift.staging import staged_directory


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
    with pytest.raises(DestinationError, match=r"holds no mark\.json, so it is not ours to replace"):
        make(tmp_path / "made", "two", force=True)
    assert (tmp_path / "made/precious").read_text() == "x"


def test_one_that_came_while_the_block_ran_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(DestinationError), staged_directory(tmp_path / "made", "mark.json") as stage:
        (stage / "mark.json").write_text("late")
        make(tmp_path / "made", "first")
    assert (tmp_path / "made/mark.json").read_text() == "first"


def test_an_error_of_the_disk_is_a_storage_error_with_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left on device"), staged_directory(tmp_path / "made", "mark.json"):
        raise OSError(28, "No space left on device", "made/model.onnx")
    assert list(tmp_path.iterdir()) == []
