"""The ledger of a job balances: each record is scored or rejected, once, in order, whatever the formats and the damage."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from conftest import SMALL_BUNDLE, score_small
from hypothesis import given, settings
from hypothesis import strategies as st
from pairlift import Scorer, formats
from pairlift.errors import InputError

Record = tuple[str, str, str] | bytes  # an id and two texts, or the bytes of something else

BAD: dict[str, list[bytes]] = {
    ".csv": [b'7,"never closed\n', b"1,2,3,4\n", b"lone\n", b"1,2,\xff\n", b'a,"b"c,d\n', b"1,2,\r3\n", b"1,a\0b,c\n"],
    ".tsv": [b"1\t2\t3\t4\n", b"lone\n", b"1\t2\t\xff\n", b"1\ta\0b\tc\n"],
    ".jsonl": [
        b"{broken\n", b"[1]\n", b'{"a": NaN}\n', b"\xff\n", b'"text"\n', b'{"premise": "\\ud800", "hypothesis": "x"}\n', b"{}{}\n",
        b"{}\n", b'{"id": "x", "premise": 1, "hypothesis": "a"}\n', b'{"premise": "a", "premise": "b", "hypothesis": "a"}\n',
    ],
    ".parquet": [b"null", b"\xff"],
}  # fmt: skip
WORD = st.text(st.sampled_from("abc é,'.\"猫"), min_size=1, max_size=8)
CSV_WORD = st.text(st.sampled_from("abc é,'.\"猫\n"), min_size=1, max_size=8)
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".tsv.zst", ".jsonl.gz", ".jsonl.zst"]


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """The scorer of the small bundle."""
    scorer = Scorer.open(SMALL_BUNDLE)
    yield scorer
    scorer.close()


def pack(suffix: str, data: bytes) -> bytes:
    """Return bytes packed as a file's name says."""
    if suffix.endswith(".gz"):
        return gzip.compress(data)
    return zstd.compress(data) if suffix.endswith(".zst") else data


def unpack(suffix: str, data: bytes) -> bytes:
    """Return them unpacked."""
    if suffix.endswith(".gz"):
        return gzip.decompress(data)
    return zstd.decompress(data) if suffix.endswith(".zst") else data


def spell(kind: str, record: Record) -> bytes:
    """Return a record as a format has it; one of ours always begins with its id."""
    if isinstance(record, bytes):
        return record
    if kind == ".tsv":
        return ("\t".join(record) + "\n").encode()
    if kind == ".jsonl":
        return json.dumps(dict(zip(("id", "premise", "hypothesis"), record, strict=True))).encode() + b"\n"
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(record)
    return buffer.getvalue().encode()


def write(path: Path, kind: str, suffix: str, records: list[Record]) -> None:
    """Write an input."""
    if kind == ".parquet":
        premises = [None if r == b"null" else r if isinstance(r, bytes) else r[1].encode() for r in records]
        columns = {
            "id": [r[0] if isinstance(r, tuple) else "bad" for r in records],
            "premise": pa.array(premises, pa.binary()).view(pa.string()),
            "hypothesis": [r[2] if isinstance(r, tuple) else "x" for r in records],
        }
        pq.write_table(pa.table(columns), path, row_group_size=3)
        return
    header = {".csv": b"id,premise,hypothesis\n", ".tsv": b"id\tpremise\thypothesis\n", ".jsonl": b""}[kind]
    path.write_bytes(pack(suffix, header + b"".join(spell(kind, record) for record in records)))


def read_ids(path: Path, kind: str, suffix: str) -> list[str]:
    """Return the ids of an output, read by others."""
    if kind == ".parquet":
        return [str(value) for value in pq.read_table(path)["id"].to_pylist()]
    text = unpack(suffix, path.read_bytes()).decode()
    if kind == ".jsonl":
        return [json.loads(line)["id"] for line in text.split("\n")[:-1]]
    if kind == ".tsv":
        return [line.split("\t")[0] for line in text.split("\n")[1:-1]]
    return [row[0] for row in list(csv.reader(io.StringIO(text, newline="")))[1:]]


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_every_record_is_scored_or_rejected_and_in_order(scorer: Scorer, suffix: str, data: Any) -> None:
    kind = Path(suffix).stem if suffix.count(".") == 2 else suffix
    word = WORD if kind == ".tsv" else CSV_WORD
    pairs = data.draw(st.lists(st.tuples(word, word), min_size=1, max_size=14))
    records: list[Record] = [(f"id{i}", *pair) for i, pair in enumerate(pairs)]
    for _ in range(data.draw(st.integers(0, 6))):
        records.insert(data.draw(st.integers(0, len(records))), data.draw(st.sampled_from(BAD[kind])))
    written = data.draw(st.sampled_from([s for s in SUFFIXES if "tsv" not in s]))  # which cannot hold a line end
    kind_written = Path(written).stem if written.count(".") == 2 else written
    folder = Path(tempfile.mkdtemp())
    try:
        pairs_path, output = folder / f"in{suffix}", folder / f"out{written}"
        write(pairs_path, kind, suffix, records)
        good = [record[0] for record in records if isinstance(record, tuple)]
        first_good = next((r for r in formats.read_rows(str(pairs_path)) if r.error is None), None)
        if kind == ".jsonl" and (first_good is None or "premise" not in first_good.values):
            return  # refused before the first row, as the first good line lacks the texts
        if (
            kind == ".jsonl"
            and kind_written != ".jsonl"
            and records.index(next(r for r in records if isinstance(r, tuple))) >= 4
        ):
            with pytest.raises(InputError, match="none of the first 4 rows can be scored"):
                score_small(scorer, pairs_path, output, chunk_rows=4)
            return
        totals = score_small(scorer, pairs_path, output, chunk_rows=4).totals
        assert read_ids(output, kind_written, written) == good
        rejects = Path(f"{output}.rejects.jsonl")
        refused = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
        assert [r["row"] for r in refused] == [i for i, r in enumerate(records) if isinstance(r, bytes)]
        assert (totals.rows, totals.scored) == (len(records), len(good))
        assert totals.rows == totals.scored + sum(totals.rejected.values())
    finally:
        shutil.rmtree(folder)
