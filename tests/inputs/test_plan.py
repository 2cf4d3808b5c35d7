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
from conftest import SMALL_CHUNKS, Run, score_small
from pairlift import Scorer, formats
from pairlift.errors import ChangedError, UsageError
from pairlift.formats import Row
from pairlift.inputs.names import stamp_inputs
from pairlift.inputs.options import JobOptions
from pairlift.inputs.plan import Descriptor, Span, plan_inputs, read_from, take_planned
from pairlift.jobs.worker import run_descriptor
from pairlift.names import Key
from pairlift.storage.open import open_input
from pairlift.storage.stamp import Input, read_stamp

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


def stamp(*paths: Path) -> tuple[Input, ...]:
    """Return inputs as a job knows them."""
    with paths[0].open("rb") as file:
        return stamp_inputs([str(path) for path in paths], read_stamp(file))


def plan_small(*paths: Path, **between: Any) -> list[Descriptor]:
    """Return the chunks of 16 rows of inputs."""
    found = formats.format_of(str(paths[0]))
    return list(plan_inputs(stamp(*paths), found, SMALL_CHUNKS, **between))


def tell(row: Row) -> tuple[Any, ...]:
    """Return all that there is to a row."""
    return row.number, row.line, row.start, row.end, dict(row.values), row.raw, str(row.error)


def read_span(span: Span) -> list[tuple[Any, ...]]:
    """Read the rows of a span, by a reader that has read nothing else."""
    found = formats.format_of(span.input)
    with open_input(span.input) as file:
        reader = formats.open_reader(file, span.input, found)
        return [tell(row) for row in take_planned(read_from(reader, file, found, span), span)]


def read_chunks(path: Path, plan: list[Descriptor]) -> list[tuple[Any, ...]]:
    """Read the chunks of one input one by one in any order, with one reader, and return their rows in the right one."""
    found, shuffled = formats.format_of(str(path)), random.Random(7).sample(plan, len(plan))
    rows = {}
    with open_input(str(path)) as file:
        reader = formats.open_reader(file, str(path), found)
        for descriptor in shuffled:
            (span,) = descriptor.spans
            rows[descriptor.key] = [tell(row) for row in take_planned(read_from(reader, file, found, span), span)]
            assert len(rows[descriptor.key]) == descriptor.rows
    return [row for descriptor in plan for row in rows[descriptor.key]]


@pytest.mark.parametrize("name", CASES)
def test_chunks_read_alone_are_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CASES[name])
    plan = plan_small(tmp_path / name)
    whole = [tell(row) for row in formats.read_rows(str(tmp_path / name))]
    assert read_chunks(tmp_path / name, plan) == whole
    assert [descriptor.key for descriptor in plan] == [Key(0, row) for row in range(0, len(whole), 16)]
    assert [span.place.row for descriptor in plan for span in descriptor.spans] == list(range(0, len(whole), 16))


@pytest.mark.parametrize("groups", [7, 16, 64, 1000])
def test_chunks_of_parquet_read_alone_are_the_file(tmp_path: Path, groups: int) -> None:
    table = pa.table({"premise": [f"p {i}" for i in range(ROWS)], "hypothesis": ["h"] * ROWS})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=groups)
    plan = plan_small(tmp_path / "a.parquet")
    assert read_chunks(tmp_path / "a.parquet", plan) == [
        tell(row) for row in formats.read_rows(str(tmp_path / "a.parquet"))
    ]


def test_the_text_of_parquet_is_not_read_for_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"premise": ["p" * 1000] * ROWS, "hypothesis": ["h"] * ROWS}), path, compression="none")
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    assert sum(descriptor.rows for descriptor in plan_small(path)) == ROWS


def test_a_plan_says_in_which_member_each_chunk_begins(tmp_path: Path) -> None:
    for name, several in (("one.jsonl.gz", False), ("members.jsonl.gz", True)):
        (tmp_path / name).write_bytes(CASES[name])
        members = [descriptor.spans[0].place.member for descriptor in plan_small(tmp_path / name)]
        assert len(members) > 1
        assert None not in members
        assert (len(set(members)) > 1) == several


def test_a_plan_of_other_rows_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(JSONL)
    plan = plan_small(path)
    path.write_bytes(JSONL.replace(b"a 40", b"another 40"))
    with pytest.raises(
        ChangedError, match=r"a\.jsonl: the rows from \d+ onwards are not where the plan says; make a new"
    ):
        read_chunks(path, plan)


def test_the_command_prints_the_chunks_and_says_what_cannot_be_split(pairlift: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"premise": "a", "hypothesis": "b"}\n' * 9000)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress((tmp_path / "in.jsonl").read_bytes()))
    done = pairlift("plan", tmp_path / "in.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, [line["row"] for line in lines]) == (0, "", [0, 4096, 8192])
    assert {(line["format"], line["lot"], len(line["spans"])) for line in lines} == {(3, 0, 1)}
    assert [line["spans"][0]["rows"] for line in lines] == [4096, 4096, 808]
    assert [line["spans"][0]["place"]["start"] for line in lines] == [0, 4096 * 36, 8192 * 36]
    assert {line["spans"][0]["input"] for line in lines} == {str(tmp_path / "in.jsonl")}
    done = pairlift("plan", tmp_path / "in.jsonl", "--chunk-rows", 6000)
    assert [json.loads(line)["row"] for line in done.stdout.splitlines()] == [0, 6000]
    done = pairlift("plan", tmp_path / "in.jsonl.gz")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert "in.jsonl.gz: is one compressed piece and cannot be split, so one worker reads all of it" in done.stderr
    done = pairlift("plan", "-")
    assert (done.returncode, "standard input can only be read once" in done.stderr) == (2, True)
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / "in.jsonl.gz").read_bytes()[:-20])
    done = pairlift("plan", tmp_path / "cut.jsonl.gz")
    assert (done.returncode, "cut off or damaged after line" in done.stderr) == (3, True)


def test_chunks_done_one_by_one_in_any_order_are_the_output(tmp_path: Path, scorer: Scorer) -> None:
    source, small = tmp_path / "in.jsonl", JobOptions(chunk_rows=SMALL_CHUNKS)
    source.write_bytes(JSONL)
    plan = plan_small(source)
    output = f"{tmp_path}/scores/"
    for descriptor in random.Random(3).sample(plan, len(plan)):
        (receipt,) = run_descriptor(scorer, descriptor, output, small)
        assert (receipt.key, receipt.tally.rows) == (descriptor.key, descriptor.rows)
    outcome = score_small(scorer, source, output)
    assert (outcome.resumed, outcome.totals.rows) == (ROWS, ROWS)
    score_small(scorer, source, tmp_path / "whole.jsonl")
    parts = sorted((tmp_path / "scores").glob("part-*"))
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole.jsonl").read_bytes()
    assert run_descriptor(scorer, plan[0], output, small) == []
    with pytest.raises(UsageError, match="is a local file, which only one process may write"):
        run_descriptor(scorer, plan[0], str(tmp_path / "other.jsonl"), small)
    source.write_bytes(JSONL + b"{}")
    with pytest.raises(
        ChangedError, match=r"in\.jsonl: has changed since the job was planned \(was \d+ bytes .*, is \d+ bytes"
    ):
        run_descriptor(scorer, plan[0], f"{tmp_path}/others/", small)


def test_a_chunk_of_a_job_of_several_inputs_is_not_done_by_itself(tmp_path: Path, scorer: Scorer) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(JSONL)
    plan = plan_small(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    for descriptor in (next(d for d in plan if len(d.spans) == 2), plan[-1]):
        with pytest.raises(
            UsageError, match="the chunk belongs to a job of several inputs, and can only be scored as part of it"
        ):
            run_descriptor(scorer, descriptor, f"{tmp_path}/scores/")
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("name", ["a.jsonl", "members.csv.zst", "one.jsonl.gz", "a.parquet"])
def test_small_inputs_share_chunks_which_read_alone_are_the_inputs(tmp_path: Path, name: str) -> None:
    paths = [tmp_path / f"{i}{name[name.index('.') :]}" for i in range(4)]
    for path, rows in zip(paths, (21, 3, 0, 40), strict=True):
        texts = [f"{path} {i}" for i in range(rows)]
        if path.suffix == ".parquet":
            columns = {"premise": texts, "hypothesis": ["b"] * rows}
            pq.write_table(pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()}), path)
            continue
        lines = [f'{{"premise": "{text}", "hypothesis": "b"}}\n' for text in texts]
        if ".csv" in name:
            lines = ["premise,hypothesis\n", *(f"{text},b\n" for text in texts)]
        data = "".join(lines).encode()
        if path.suffix in (".gz", ".zst"):
            data = cut(data, path.suffix[1:]) if "members" in name else gzip.compress(data)
        path.write_bytes(data)
    plan = plan_small(*paths)
    assert [(d.key, d.rows) for d in plan] == [(Key(0, row), min(16, 64 - row)) for row in range(0, 64, 16)]
    assert [len(d.spans) for d in plan] == [1, 3, 1, 1]
    read = [row for d in plan for span in d.spans for row in read_span(span)]
    assert read == [tell(row) for path in (*paths[:2], paths[3]) for row in formats.read_rows(str(path))]
    assert plan_small(*paths, after=Key(0, 16)) == plan[2:]


def test_a_chunk_never_spans_two_lots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for path in paths:
        path.write_bytes(b'{"premise": "a", "hypothesis": "b"}\n' * 20)
    monkeypatch.setattr("pairlift.inputs.names.LOT_BYTES", 2 * paths[0].stat().st_size)
    plan = plan_small(*paths)
    assert [(d.key, d.rows) for d in plan] == [
        (Key(0, 0), 16), (Key(0, 16), 16), (Key(0, 32), 8), (Key(1, 0), 16), (Key(1, 16), 4),
    ]  # fmt: skip
    assert {span.input for d in plan if d.lot == 1 for span in d.spans} == {str(paths[2])}
    assert plan_small(*paths, after=Key(0, 32)) == plan[3:]
    assert plan_small(*paths, until=1) == plan[:3]
