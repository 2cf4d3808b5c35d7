"""What a storage could not do passes, and what is done is kept; damage in a file does not pass."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from conftest import SMALL_BUNDLE, score_small
from pairlift import Scorer, formats
from pairlift.errors import InputError
from pairlift.formats.members import MemberStream
from pairlift.formats.row import Place
from pairlift.jobs import job
from pairlift.storage.open import open_input

ROWS = 3000
PAIRS = [(f"a dog {i * 7919 % 10007}", f"a cat {i * i % 10007}") for i in range(ROWS)]
CSV = b"premise,hypothesis\n" + b"".join(f"{a},{b}\n".encode() for a, b in PAIRS)
TSV = CSV.replace(b",", b"\t")
JSONL = b"".join(json.dumps({"premise": a, "hypothesis": b}).encode() + b"\n" for a, b in PAIRS)


def parquet() -> bytes:
    """Return the pairs in three row groups."""
    sink = io.BytesIO()
    table = pa.table({"premise": [a for a, _ in PAIRS], "hypothesis": [b for _, b in PAIRS]})
    pq.write_table(table, sink, row_group_size=ROWS // 3)
    return sink.getvalue()


FILES = {
    "in.csv": CSV,
    "in.tsv": TSV,
    "in.jsonl": JSONL,
    "in.csv.gz": gzip.compress(CSV, mtime=0),
    "in.csv.zst": zstd.compress(CSV),
    "in.jsonl.gz": gzip.compress(JSONL[:9000], mtime=0) + gzip.compress(JSONL[9000:], mtime=0),
    "in.parquet": parquet(),
}
ERRORS = {
    "a disk's": OSError(5, "Input/output error"),
    "one without a number": OSError("the wire is cut"),
    "a time that ran out": TimeoutError(),
    "another file's": InputError("changed while it was read"),
}


class Failing(io.RawIOBase):
    """A file of which one read fails."""

    def __init__(self, data: bytes, at: int, error: Exception) -> None:
        self._data, self._left, self._error = io.BytesIO(data), at, error
        self.failed = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()

    def readinto(self, buffer: Any) -> int:
        if self._left == 0:
            self.failed = True
            raise self._error
        self._left -= 1
        return self._data.readinto(buffer)


def read(file: BinaryIO, name: str, members: bool = False) -> int:
    """Read a file to its end, and return how many rows it has."""
    found = formats.format_of(name)
    if members:
        file = cast("BinaryIO", io.BufferedReader(MemberStream(file, found.compression, name)))
        found = formats.Format(found.kind)
    return sum(1 for _ in formats.open_reader(file, name, found))


def fail_each(name: str, error: Exception, members: bool = False) -> list[InputError]:
    """Return what reading a file ends with for each read that fails, from the first to the last."""
    ends: list[InputError] = []
    for at in itertools.count():
        raw = Failing(FILES[name], at, error)
        with io.BufferedReader(raw, 4096) as file:
            try:
                assert read(cast("BinaryIO", file), name, members) == ROWS
            except InputError as end:
                ends.append(end)
            if not raw.failed:
                return ends
            assert len(ends) == at + 1, "an error that nobody heard of"
    raise AssertionError


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    ("name", "members"), [*((name, False) for name in FILES), ("in.csv.gz", True), ("in.csv.zst", True)]
)
def test_what_a_file_raises_passes_wherever_it_is_read(name: str, members: bool, kind: str) -> None:
    error = ERRORS[kind]
    ends = fail_each(name, error, members)
    assert len(ends) >= 3
    for end in ends:
        if isinstance(error, InputError):
            assert end is error
        else:
            reason = getattr(error, "strerror", None) or str(error) or "TimeoutError"
            assert end.passing
            assert str(end).startswith(f"{name}: cannot be read after ")
            assert str(end).endswith(f" ({reason}); run the same command again")


def test_the_first_and_the_last_rows_of_parquet_are_told_apart() -> None:
    places = [str(end).split(" (")[0] for end in fail_each("in.parquet", ERRORS["a disk's"])]
    assert places[0] == "in.parquet: cannot be read after row 0"
    assert places[-1] == f"in.parquet: cannot be read after row {2000 - 2000 % 64}"  # the batch in the last row group


@pytest.mark.parametrize(
    "error", [ValueError("negative seek value -5"), OSError(22, "Invalid argument"), OSError(5, "")]
)
def test_a_place_that_no_file_has_is_damage(error: Exception) -> None:
    class Placeless(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise error

    with pytest.raises(InputError) as caught:
        read(Placeless(FILES["in.parquet"]), "in.parquet")
    assert caught.value.passing == (getattr(error, "errno", 0) == 5)


@pytest.mark.parametrize("name", FILES)
def test_damage_does_not_pass(name: str) -> None:
    data = FILES[name]
    middle = len(data) // 2
    spoilt = {"spoilt": data[:middle] + bytes(200) + data[middle + 200 :], "cut": data[:-11]}
    if formats.format_of(name).compression:
        spoilt |= {"first": b"x" + data[1:], "tail": data + b"garbage"}
    elif not name.endswith("parquet"):
        spoilt = {"packed": b"\x1f\x8b" + data}
    for what, file in spoilt.items():
        with pytest.raises(InputError) as caught:
            read(io.BytesIO(file), name)
            pytest.fail(f"{what} was read")
        assert not caught.value.passing, what
        assert "run the same command again" not in str(caught.value)


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.csv.zst"])
def test_a_place_that_cannot_be_come_to_passes(name: str) -> None:
    found, error = formats.format_of(name), ERRORS["a disk's"]
    place = Place(row=2000, line=2002, start=len(CSV) - 5000, skip=len(CSV) - 5000)
    for at in range(3):
        with io.BufferedReader(Failing(FILES[name], at, error), 4096) as file:
            reader = formats.open_reader(io.BytesIO(FILES[name]), name, found)
            with pytest.raises(InputError, match=r"cannot be read (before|after) line 2\d+ .*; run") as caught:
                reader.move(formats.reopen(cast("BinaryIO", file), found, name, place), place)
                list(reader)
            assert caught.value.passing
    if found.compression:
        spoilt = io.BytesIO(FILES[name][:300] + bytes(300))
        with pytest.raises(InputError, match=r"cut off or damaged before line 2002") as caught:
            formats.reopen(spoilt, found, name, place)
        assert not caught.value.passing


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.parquet"])
def test_a_read_that_fails_once_costs_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path, usual, tried = tmp_path / name, open_input, []
    path.write_bytes(FILES[name])

    def open_failing(given: str) -> BinaryIO:
        file = usual(given)
        if tried:
            return file
        tried.append(given)
        return cast("BinaryIO", FailingLate(file))

    monkeypatch.setattr(job, "open_input", open_failing)
    scorer = Scorer.open(SMALL_BUNDLE)
    with pytest.raises(InputError, match=r"Input/output error.*; run the same command again"):
        score_small(scorer, path, tmp_path / "out.csv", chunk_rows=64)
    outcome = score_small(scorer, path, tmp_path / "out.csv", chunk_rows=64)
    assert 0 < outcome.resumed < outcome.totals.rows == ROWS


class FailingLate:
    """A file whose reads fail from two thirds on, but for Parquet's footer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def __enter__(self) -> FailingLate:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        if name in ("read", "readline") and 0.6 < self._file.tell() / self._size < 0.95:
            raise OSError(5, "Input/output error")
        return getattr(self._file, name)
