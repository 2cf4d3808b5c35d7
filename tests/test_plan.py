"""A plan says where each chunk is, and a chunk that is read alone is the one that is read among the others."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from conftest import SMALL_BUNDLE, Run
from pairlift import Scorer, chunk, formats
from pairlift.errors import ChangedError, UsageError
from pairlift.formats import Row
from pairlift.job import score_file
from pairlift.plan import Descriptor, group_descriptors, plan_files, read_from, take_planned
from pairlift.worker import run_descriptor

ROWS = 200
JSONL = "\n".join(
    (json.dumps({"premise": f"a {i} " + "é" * (i * 7 % 90), "hypothesis": "b"}, ensure_ascii=False) if i % 7 else "{broken") + "\n\n" * (i % 31 == 0)
    for i in range(ROWS)
).encode()  # fmt: skip
CSV = (
    "premise,hypothesis\n"
    + "".join(f'"a\n{i}",b\n' if i % 5 else f'x"{i},b "q" \n' if i % 3 else f'"open {i},b\n' for i in range(ROWS))
).encode()


def cut(data: bytes, compression: str) -> bytes:
    """Return data in gzip members or zstd frames of 700 bytes."""
    pieces = [data[i : i + 700] for i in range(0, len(data), 700)]
    return b"".join(gzip.compress(p, mtime=0) if compression == "gz" else zstd.compress(p) for p in pieces)


CASES = {
    "a.jsonl": JSONL,
    "a.csv": CSV,
    "bom.csv": b"\xef\xbb\xbf" + CSV,
    "members.jsonl.gz": cut(JSONL, "gz"),
    "members.csv.zst": cut(CSV, "zst"),
    "one.jsonl.gz": gzip.compress(JSONL, mtime=0),
    "one.csv.zst": zstd.compress(CSV),
    "padded.csv.gz": gzip.compress(CSV, mtime=0) + b"\0" * 512,
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 rows."""
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 16)


def tell(row: Row) -> tuple[Any, ...]:
    """Return all that there is to a row."""
    return row.number, row.line, row.start, row.end, dict(row.values), row.raw, str(row.error)


def read_chunks(path: Path, plan: list[Descriptor]) -> list[tuple[Any, ...]]:
    """Read the chunks one by one in any order, and return their rows in the right one."""
    found, shuffled = formats.format_of(str(path)), random.Random(7).sample(plan, len(plan))
    rows = {}
    with formats.open_input(str(path)) as file:
        reader = formats.open_reader(file, str(path), found)
        for descriptor in shuffled:
            taken = take_planned(read_from(reader, file, found, descriptor), descriptor)
            rows[descriptor.place.row] = [tell(row) for row in taken]
    return [row for descriptor in plan for row in rows[descriptor.place.row]]


@pytest.mark.parametrize("name", CASES)
def test_chunks_read_alone_are_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CASES[name])
    plan = list(plan_files([str(tmp_path / name)]))
    whole = [tell(row) for row in formats.read_rows(str(tmp_path / name))]
    assert read_chunks(tmp_path / name, plan) == whole
    assert [descriptor.place.row for descriptor in plan] == list(range(0, len(whole), 16))


@pytest.mark.parametrize("groups", [7, 16, 64, 1000])
def test_chunks_of_parquet_read_alone_are_the_file(tmp_path: Path, groups: int) -> None:
    table = pa.table({"premise": [f"p {i}" for i in range(ROWS)], "hypothesis": ["h"] * ROWS})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=groups)
    plan = list(plan_files([str(tmp_path / "a.parquet")]))
    assert read_chunks(tmp_path / "a.parquet", plan) == [
        tell(row) for row in formats.read_rows(str(tmp_path / "a.parquet"))
    ]


def test_the_text_of_parquet_is_not_read_for_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"premise": ["p" * 1000] * ROWS, "hypothesis": ["h"] * ROWS}), path, compression="none")
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    assert sum(descriptor.rows for descriptor in plan_files([str(path)])) == ROWS


def test_chunks_of_one_member_go_to_one_worker(tmp_path: Path) -> None:
    for name, most in (("one.jsonl.gz", 1), ("members.jsonl.gz", 13), ("a.jsonl", 13)):
        (tmp_path / name).write_bytes(CASES[name])
        plan = list(plan_files([str(tmp_path / name)]))
        groups = list(group_descriptors(plan, formats.format_of(name)))
        assert [d for group in groups for d in group] == plan
        assert (len(groups) == 1) == (most == 1)


def test_a_plan_of_other_rows_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(JSONL)
    plan = list(plan_files([str(path)]))
    path.write_bytes(JSONL.replace(b"a 40", b"another 40"))
    with pytest.raises(
        ChangedError, match=r"a\.jsonl: the rows from \d+ on are not where the plan says; make the plan"
    ):
        read_chunks(path, plan)


def test_the_command_prints_the_chunks_and_says_what_cannot_be_split(pairlift: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"premise": "a", "hypothesis": "b"}\n' * 9000)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress((tmp_path / "in.jsonl").read_bytes()))
    done = pairlift("plan", tmp_path / "in.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, [line["rows"] for line in lines]) == (0, "", [4096, 4096, 808])
    assert [line["place"]["start"] for line in lines] == [0, 4096 * 36, 8192 * 36]
    done = pairlift("plan", tmp_path / "in.jsonl.gz")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert "in.jsonl.gz: is one compressed piece and cannot be split: one worker does all of it" in done.stderr
    done = pairlift("plan", "-")
    assert (done.returncode, "standard input can be read once only" in done.stderr) == (2, True)
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / "in.jsonl.gz").read_bytes()[:-20])
    done = pairlift("plan", tmp_path / "cut.jsonl.gz")
    assert (done.returncode, "cut off or damaged after line" in done.stderr) == (3, True)


def test_chunks_done_one_by_one_in_any_order_are_the_output(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(JSONL)
    plan = list(plan_files([str(tmp_path / "in.jsonl")]))
    scorer = Scorer.open(SMALL_BUNDLE)
    output = f"{tmp_path}/scores/"
    for descriptor in random.Random(3).sample(plan, len(plan)):
        (entry,) = run_descriptor(scorer, descriptor, output)
        assert (entry.first, entry.tally.rows) == (descriptor.place.row, descriptor.rows)
    outcome = score_file(scorer, str(tmp_path / "in.jsonl"), output)
    assert (outcome.resumed, outcome.totals.rows) == (ROWS, ROWS)
    score_file(scorer, str(tmp_path / "in.jsonl"), str(tmp_path / "whole.jsonl"))
    parts = sorted((tmp_path / "scores").glob("part-*"))
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole.jsonl").read_bytes()
    assert run_descriptor(scorer, plan[0], output) == []
    with pytest.raises(UsageError, match="is a local file, which one process makes"):
        run_descriptor(scorer, plan[0], str(tmp_path / "other.jsonl"))
    (tmp_path / "in.jsonl").write_bytes(JSONL + b"{}")
    with pytest.raises(ChangedError, match="is not what it was when the job began"):
        run_descriptor(scorer, plan[0], f"{tmp_path}/others/")
