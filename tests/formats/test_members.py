"""A compressed file is read to its end and no further, whatever pieces it comes in."""

from __future__ import annotations

import gzip
import io
import itertools
import random
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from pairlift.formats import members
from pairlift.formats.compression import open_decompressed
from pairlift.formats.members import MemberStream
from pairlift.inputs.plan import plan_files

HARD = random.Random(3).randbytes(3 << 20)
EASY = b"".join(b'{"premise": "a dog %d", "hypothesis": "a cat"}\n' % i for i in range(200_000))
NOISE = random.Random(4)
PAIRS = b"".join(
    b'{"id": %d, "premise": "a dog", "hypothesis": "a cat sleeps"}\n' % NOISE.getrandbits(48) for _ in range(50_000)
)
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a zstd frame of no content
PACK = {".gz": lambda data: gzip.compress(data, mtime=0), ".zst": zstd.compress}


class Short(io.BytesIO):
    """A file that gives less than it is asked for."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self._sizes = itertools.cycle(sizes)

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(next(self._sizes), size if size and size > 0 else 1 << 30))


def unpack(data: bytes, compression: str, buffer: int = 1 << 20, sizes: tuple[int, ...] = (1 << 30,)) -> bytes:
    """Return what a compressed file holds."""
    stream = MemberStream(Short(data, list(sizes)), compression, "in")
    return io.BufferedReader(cast("Any", stream), buffer).read()


@pytest.mark.parametrize("level", [1, 3, 19])
@pytest.mark.parametrize("kind", ["hard", "easy", "both"])
@pytest.mark.parametrize("size", [members.READ - 20, members.READ, members.READ + 1, 300_000, 700_001])
def test_a_single_frame_of_any_size_is_read(kind: str, size: int, level: int) -> None:
    data = {"hard": HARD, "easy": EASY, "both": HARD[: size // 2] + EASY}[kind][:size]
    packed = zstd.compress(data, level=level)
    assert unpack(packed, ".zst") == data
    assert unpack(packed, ".zst", buffer=8192) == data


@pytest.mark.parametrize("level", [1, 3, 19])
@pytest.mark.parametrize("buffer", [8192, 1 << 20])
def test_a_frame_that_is_large_and_much_larger_unpacked_is_read(level: int, buffer: int) -> None:
    packed = zstd.compress(PAIRS, level=level)
    assert members.READ * 1.1 < len(packed) < len(PAIRS) / 5
    assert unpack(packed, ".zst", buffer) == PAIRS


@pytest.mark.parametrize("compression", PACK)
def test_members_one_after_another_are_read_and_found(compression: str) -> None:
    pieces = [HARD[:400_000], b"", EASY[:900_000], b"x", HARD[: members.READ], EASY[:10]]
    packed = [PACK[compression](piece) for piece in pieces]
    assert unpack(b"".join(packed), compression) == b"".join(pieces)
    stream = MemberStream(io.BytesIO(b"".join(packed)), compression, "in")
    io.BufferedReader(cast("Any", stream)).read()
    start = begin = 0
    for piece, member in zip(pieces, packed, strict=True):
        if piece:
            assert stream.find(start) == (begin, 0)
            assert stream.find(start + len(piece) - 1) == (begin, len(piece) - 1)
        start, begin = start + len(piece), begin + len(member)


@pytest.mark.parametrize("padding", [1, 511, members.READ, members.READ + 7])
def test_zeros_after_a_gzip_member_are_padding(padding: int) -> None:
    member = gzip.compress(EASY[:1000], mtime=0)
    assert unpack(member + bytes(padding), ".gz") == EASY[:1000]
    assert unpack(member + bytes(padding) + member, ".gz") == EASY[:1000] * 2


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("sizes", [(1 << 30,), (1,), (7, 1, 3)])
def test_a_file_cut_off_anywhere_is_noticed(compression: str, sizes: tuple[int, ...]) -> None:
    first, second = (PACK[compression](data) for data in (b"a dog and a cat " * 9, HARD[:90]))
    for data in (first, first + second):
        for end in range(1, len(data)):
            if end == len(first):
                continue
            with pytest.raises(EOFError):
                unpack(data[:end], compression, 4096, sizes)
        assert unpack(data, compression, 4096, sizes)
    assert unpack(b"", compression, 4096, sizes) == b""


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("end", [members.READ - 1, members.READ, members.READ + 1, 2 * members.READ, 600_000])
def test_a_large_file_cut_off_is_noticed(compression: str, end: int) -> None:
    packed = PACK[compression](HARD)
    with pytest.raises(EOFError):
        unpack(packed[:end], compression)
    with pytest.raises(EOFError):
        unpack(packed[:-1], compression)


@given(
    pieces=st.lists(st.binary(max_size=300), max_size=5),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    buffer=st.integers(1, 400),
    compression=st.sampled_from(sorted(PACK)),
)
@settings(max_examples=300, deadline=None)
def test_short_reads_and_small_buffers_change_nothing(
    pieces: list[bytes], sizes: list[int], buffer: int, compression: str
) -> None:
    packed = b"".join(PACK[compression](piece) for piece in pieces)
    assert unpack(packed, compression, buffer, tuple(sizes)) == b"".join(pieces)


def end_of(file: BinaryIO) -> bytes | str:
    """Return what a file holds, or that it is damaged."""
    try:
        return file.read()
    except (EOFError, gzip.BadGzipFile, zstd.ZstdError):
        return "damaged"


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("shape", ["", "0", "0a", "a0", "a00a", "a0x", "ax", "a1", "aa", "sa", "as", "asa", "s", "x"])
def test_the_same_files_are_whole_as_to_the_libraries_own_readers(compression: str, shape: str) -> None:
    parts = {"a": PACK[compression](b"a dog"), "0": b"\0", "1": b"\x1f", "x": b"x", "s": SKIPPED}
    data = b"".join(parts[part] for part in shape)
    planned = end_of(cast("Any", io.BufferedReader(cast("Any", MemberStream(io.BytesIO(data), compression, "in")))))
    assert planned == end_of(open_decompressed(io.BytesIO(data), compression, "in"))
    own: Any = (gzip if compression == ".gz" else zstd).open(io.BytesIO(data), "rb")
    assert planned == (end_of(own) if data else b"")


@pytest.mark.parametrize("compression", PACK)
def test_a_plan_is_made_of_a_large_single_member(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"in.jsonl{compression}"
    lines = PAIRS * 2
    path.write_bytes(PACK[compression](lines))
    assert path.stat().st_size > members.READ
    assert sum(descriptor.rows for descriptor in plan_files([str(path)])) == 100_000
