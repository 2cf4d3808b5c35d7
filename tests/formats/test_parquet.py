"""Parquet goes in and out with its types, and text formats become typed columns or say why not."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pairlift import formats
from pairlift.errors import InputError, UsageError
from pairlift.formats.parquet import ParquetReader
from pairlift.formats.parquet_writer import infer_schema
from pairlift.formats.row import Row

ADDED = ["prediction", "p_entailment", "p_neutral", "p_contradiction"]
WHEN = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)


def table(rows: int = 50, **more: Any) -> pa.Table:
    """Return pairs with columns of many types."""
    return pa.table(
        {
            "id": pa.array(range(rows), pa.uint16()),
            "premise": [f"the dog {i}" for i in range(rows)],
            "hypothesis": [f"a cat {i % 7}" for i in range(rows)],
            "time": pa.array([WHEN] * rows, pa.timestamp("ns", "UTC")),
            "price": pa.array([decimal.Decimal("1.50")] * rows),
            "blob": pa.array([b"\xff\x00"] * rows),
            "kind": pa.array(["x", "y"] * (rows // 2)).dictionary_encode(),
            "tags": pa.array([["a", "b"], None] * (rows // 2)),
            "point": pa.array([{"x": 1, "y": None}] * rows),
            **more,
        }
    )


def read(path: Path) -> list[Row]:
    """Return the rows of a file."""
    return list(formats.read_rows(str(path)))


def test_every_column_and_its_type_pass_through(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    given = table().replace_schema_metadata({"mine": "kept"})
    pq.write_table(given, tmp_path / "in.parquet", row_group_size=20)
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.names == [*given.schema.names, *ADDED]
    assert found.select(given.schema.names).equals(given)
    assert found.schema.metadata[b"mine"] == b"kept"
    assert [str(field.type) for field in found.schema][-4:] == ["string", "float", "float", "float"]
    np.testing.assert_allclose(sum(np.asarray(found[name]) for name in ADDED[1:]), 1, atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_scores_do_not_depend_on_the_format(pairlift: Run, bundle: Path, tmp_path: Path, suffix: str) -> None:
    pq.write_table(table(), tmp_path / "in.parquet")
    assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / f"text{suffix}").returncode == 0
    # the text that came out is an input again, with its scores renamed
    text = (tmp_path / f"text{suffix}").read_text().replace("prediction", "old").replace("p_", "old_")
    (tmp_path / f"again{suffix}").write_text(text)
    assert pairlift("score", bundle, tmp_path / f"again{suffix}", tmp_path / "out.parquet").returncode == 0
    assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "direct.parquet").returncode == 0
    one, other = pq.read_table(tmp_path / "direct.parquet"), pq.read_table(tmp_path / "out.parquet")
    assert one.select(ADDED).equals(other.select(ADDED))


def test_values_without_a_json_type_are_shown_as_text(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    pq.write_table(table(2), tmp_path / "in.parquet")
    assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.jsonl").returncode == 0
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert row["time"] == "2024-02-29 12:00:00.000000000Z"
    assert (row["price"], row["blob"], row["kind"]) == ("1.50", "ff00", "x")
    assert (row["id"], row["tags"], row["point"]) == (0, ["a", "b"], {"x": 1, "y": None})


def test_a_null_text_is_a_rejected_row_and_a_null_elsewhere_is_not(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    given = table(4).set_column(1, "premise", pa.array(["a", None, "b", "c\0d"]))
    pq.write_table(given, tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 1
    assert done.stderr.startswith("2 rows scored, 2 rejected (not_text 1, nul 1): in ")
    rejects = [json.loads(line) for line in (tmp_path / "out.parquet.rejects.jsonl").read_text().splitlines()]
    assert [(r["row"], r["line"], r["bytes"], r["detail"]) for r in rejects] == [
        (1, None, None, "premise: found null, expected a string"),
        (3, None, None, "premise: NUL at character 1, where a tokenizer would stop reading"),
    ]
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [0, 2]


def test_text_that_is_not_utf8_is_a_row_error(tmp_path: Path) -> None:
    spoilt = pa.array([b"good", b"caf\xe9", b"fine"]).view(pa.string())
    pq.write_table(pa.table({"a": spoilt, "b": [1, 2, 3]}), tmp_path / "in.parquet")
    rows = read(tmp_path / "in.parquet")
    assert [str(row.error) for row in rows] == ["None", "not_utf8: a: unexpected end of data at byte 3", "None"]
    assert rows[2].values == {"a": "fine", "b": 3}


def test_a_number_that_json_lacks_is_rejected_there_and_kept_elsewhere(
    pairlift: Run, bundle: Path, tmp_path: Path
) -> None:
    pq.write_table(table(2, score=pa.array([float("nan"), 1.5])), tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert "1 rows scored, 1 rejected (unwritable 1)" in done.stderr
    assert "NaN or infinity, which JSON does not have" in (tmp_path / "out.jsonl.rejects.jsonl").read_text()
    assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.csv").returncode == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].split(",")[-5] == "nan"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-20], "is not a Parquet file, or is cut off"),
        (lambda data: data[4:], "damaged after row 0"),
        (lambda data: b"premise,hypothesis\n", "is not a Parquet file, or is cut off"),
        (lambda data: b"", "is not a Parquet file, or is cut off"),
        (lambda data: data[:4] + bytes(400) + data[404:], "damaged after row 0"),
    ],
)
def test_a_damaged_file_ends_the_job_and_leaves_nothing(
    pairlift: Run, bundle: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    pq.write_table(table(), tmp_path / "in.parquet")
    (tmp_path / "in.parquet").write_bytes(spoil((tmp_path / "in.parquet").read_bytes()))
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert message in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "in.parquet"]


@given(place=st.floats(0, 1, exclude_max=True), change=st.binary(min_size=1, max_size=30))
@example(place=0.7741134604949887, change=b"AD")  # an error of Arrow's that is no ValueError
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_changed_anywhere_are_an_input_error_or_are_read(tmp_path: Path, place: float, change: bytes) -> None:
    sink = io.BytesIO()
    pq.write_table(table(20), sink, write_page_checksum=True)
    data = bytearray(sink.getvalue())
    begin = int(place * len(data))
    data[begin : begin + len(change)] = change
    (tmp_path / "in.parquet").write_bytes(data)
    try:
        rows = read(tmp_path / "in.parquet")
    except InputError as error:
        assert not error.passing
        return
    except UsageError:
        return
    assert [row.number for row in rows] == list(range(len(rows)))


def test_an_empty_table_gives_an_empty_table(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    pq.write_table(table(4).slice(0, 0), tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet")
    assert (found.num_rows, found.schema.names[-4:]) == (0, ADDED)


def test_a_missing_or_taken_or_repeated_column_is_a_usage_error(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    def refused(given: pa.Table) -> str:
        pq.write_table(given, tmp_path / "in.parquet")
        done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.csv")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        return str(done.stderr)

    assert "no column 'premise'; found premis, hypothesis; did you mean 'premis'?" in refused(pa.table({"premis": ["a"], "hypothesis": ["b"]}))  # fmt: skip
    assert "has a column 'prediction' already" in refused(pa.table({"premise": ["a"], "hypothesis": ["b"], "prediction": ["c"]}))  # fmt: skip
    repeated = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["premise", "hypothesis", "premise"])
    assert "column 'premise' appears twice" in refused(repeated)


def test_the_extra_is_named_where_it_is_missing(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'in\.parquet: Parquet needs: pip install "pairlift\[parquet\]"'):
        formats.format_of("in.parquet")


def test_parquet_has_its_own_compression(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found extension '\.parquet\.gz'"):
        formats.format_of("in.parquet.gz")


def test_standard_output_has_json_lines_for_parquet(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    pq.write_table(table(2), tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", "-", "--quiet")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, 1]


def json_lines(folder: Path, *rows: dict[str, Any]) -> Path:
    """Write rows as JSON lines, with texts."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"premise": "a dog", "hypothesis": "a cat", **row}) + "\n" for row in rows))
    return path


def test_json_lines_get_the_types_that_their_first_rows_show(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    source = json_lines(
        tmp_path,
        {"text": "x", "flag": True, "count": 2**53 + 1, "number": 1, "mixed": 1, "nested": {"a": 2**70}},
        {"text": None, "flag": None, "count": -1, "number": 1.5, "mixed": "one", "late": "l"},
    )
    assert pairlift("score", bundle, source, tmp_path / "out.parquet").returncode == 0
    found = pq.read_table(tmp_path / "out.parquet").drop_columns(ADDED)
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {"premise": "string", "hypothesis": "string", "text": "string", "flag": "bool", "count": "int64", "number": "double", "mixed": "string", "nested": "string", "late": "string"}  # fmt: skip
    first, second = found.to_pylist()
    assert (first["count"], first["number"], first["mixed"], first["nested"]) == (2**53 + 1, 1.0, "1", f'{{"a": {2**70}}}')  # fmt: skip
    assert (second["text"], second["mixed"], second["nested"], second["late"]) == (None, '"one"', None, "l")


def test_mixed_values_of_json_lines_keep_their_spelling(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    lines = [
        '{"premise": "a", "hypothesis": "b", "x": [1.50, 1e2]}',
        '{"premise": "a", "hypothesis": "b", "x" : "t\\u0065xt"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    assert pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.parquet").returncode == 0
    assert pq.read_table(tmp_path / "out.parquet")["x"].to_pylist() == ["[1.50, 1e2]", '"text"']


@pytest.mark.parametrize(
    ("kind", "late", "detail"),
    [
        (1, "two", 'n: found "two", expected int64 as in the first rows; write JSONL'),
        (1, 1.5, 'n: found "1.5", expected int64 as in the first rows; write JSONL'),
        (1, 2**64, f'n: found "{2**64}", expected int64 as in the first rows; write JSONL'),
        (1.5, 2**53 + 1, f'n: found "{2**53 + 1}", expected double as in the first rows; write JSONL'),
        (True, 1, 'n: found "1", expected bool as in the first rows; write JSONL'),
        ("a", 1, 'n: found "1", expected string as in the first rows; write JSONL'),
    ],
)
def test_a_late_value_of_another_type_is_rejected_and_never_changed(tmp_path: Path, kind: Any, late: Any, detail: str) -> None:  # fmt: skip
    first, second = read(json_lines(tmp_path, {"n": kind}, {"n": late}))
    columns = formats.Columns(given=("premise", "hypothesis", "n"), added=("p",))
    writer = formats.make_writer(formats.Format(".parquet"), columns, None, [first])
    written = writer.write([first, second], ["yes", "yes"], np.zeros((2, 0), np.float32))
    assert {place: str(error) for place, error in written.errors.items()} == {1: f"unwritable: {detail}"}
    assert pa.ipc.open_stream(written.output).read_all().num_rows == 1


def test_a_part_and_a_file_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "in.parquet", row_group_size=7)
    digests = set()
    for _ in range(2):
        with (tmp_path / "in.parquet").open("rb") as file:
            reader = ParquetReader(file, "in")
            rows = list(reader)
            columns = formats.Columns(given=reader.columns, added=("prediction", "p_a"))
            writer = formats.make_writer(formats.Format(".parquet"), columns, reader)
            part = writer.write(rows, ["a"] * len(rows), np.ones((len(rows), 1), np.float32)).output
        (tmp_path / "part").write_bytes(part)
        with (tmp_path / "whole").open("wb") as whole:
            writer.join([tmp_path / "part"] * 3, whole)
        digests.add((hashlib.sha256(part).hexdigest(), hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest()))
    assert len(digests) == 1
    assert pq.ParquetFile(tmp_path / "whole").metadata.num_row_groups == 3


@pytest.mark.parametrize("texts", [pa.array([b"a"]), pa.array([datetime.date(2020, 1, 1)]), pa.array([1])])
def test_a_text_column_of_another_type_is_a_usage_error(
    pairlift: Run, bundle: Path, tmp_path: Path, texts: pa.Array
) -> None:
    pq.write_table(pa.table({"premise": texts, "hypothesis": ["b"]}), tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"column 'premise' has the type {texts.type}, expected string" in done.stderr


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_texts_may_have_any_of_arrows_types_for_text(pairlift: Run, bundle: Path, tmp_path: Path, kind: Any) -> None:
    texts = (
        pa.array(["a dog", "a cat", None]).cast(kind)
        if kind != pa.string_view()
        else pa.array(["a dog", "a cat", None], kind)
    )
    pq.write_table(pa.table({"premise": texts, "hypothesis": ["x", "y", "z"]}), tmp_path / "in.parquet")
    assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet").returncode == 1
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["premise"].to_pylist() == ["a dog", "a cat"]
    assert found.schema.field("premise").type == pq.read_table(tmp_path / "in.parquet").schema.field("premise").type


def test_old_times_far_from_now_stay_what_they_are(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    times = pa.array([datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)], pa.timestamp("us"))
    given = pa.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], "time": times})
    pq.write_table(given, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    for suffix in (".parquet", ".csv"):
        assert pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / f"out{suffix}").returncode == 0
    assert pq.read_table(tmp_path / "out.parquet")["time"].to_pylist() == times.to_pylist()
    assert "9999-12-31 00:00:00" in (tmp_path / "out.csv").read_text()


EXOTIC = {
    "decimals": pa.array([[decimal.Decimal("1.5")], None]),
    "binaries": pa.array([[b"\xff"], None]),
    "inside": pa.array([{"b": b"\xff", "n": float("nan")}, None]),
    "map": pa.array([[("k", decimal.Decimal("1.5"))], None], pa.map_(pa.string(), pa.decimal128(3, 1))),
    "durations": pa.array([[datetime.timedelta(seconds=1)], None]),
    "nanoseconds": pa.array([[1], None], pa.list_(pa.timestamp("ns"))),
    "beyond": pa.array([[10**14], None], pa.list_(pa.timestamp("s"))),
    "nowhere": pa.array([1, None], pa.timestamp("us", "Foo/Bar")),
    "bytes": pa.array([b"\xff", None]).dictionary_encode(),
    "view": pa.array([b"\xff", None], pa.binary_view()),
    "ids": pa.array([b"0123456789abcdef", None], pa.uuid()),
    "half": pa.array([np.float16(1.5), None], pa.float16()),
    "nothing": pa.nulls(2),
    "large": pa.array([2**64 - 1, None], pa.uint64()),
}


@pytest.mark.parametrize("name", EXOTIC)
def test_a_column_of_whatever_type_passes_through(pairlift: Run, bundle: Path, tmp_path: Path, name: str) -> None:
    given = pa.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], name: EXOTIC[name]})
    pq.write_table(given, tmp_path / "in.parquet")
    given = pq.read_table(tmp_path / "in.parquet")
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet").select(given.schema.names)
    assert found.schema.equals(given.schema)
    assert found[name].to_string() == given[name].to_string()
    for suffix in (".csv", ".jsonl"):
        done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / f"out{suffix}")
        assert done.returncode in (0, 1), done.stderr
        assert done.returncode == 0 or "unwritable 1" in done.stderr
    assert "null" not in (tmp_path / "out.csv").read_text(), "NaN became null"


def test_a_chunk_of_rejected_rows_is_no_part(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    texts = pa.array([None, None], pa.string())
    pq.write_table(
        pa.table({"premise": texts, "hypothesis": texts, "ids": pa.nulls(2, pa.list_(pa.uuid()))}),
        tmp_path / "in.parquet",
    )
    done = pairlift("score", bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.returncode == 1, done.stderr
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_small_file_of_large_rows_is_read_in_small_steps(tmp_path: Path) -> None:
    large = "x" * (2 << 20)
    pq.write_table(
        pa.table({"premise": [large] * 300, "hypothesis": ["a"] * 300}), tmp_path / "in.parquet", compression="zstd"
    )
    assert (tmp_path / "in.parquet").stat().st_size < 10_000
    code = (
        "import sys; from pairlift import formats; from pairlift.machine import read_peak_memory\n"
        "reasons = {row.error.reason for row in formats.read_rows(sys.argv[1])}; print(reasons, read_peak_memory() < 900e6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in.parquet")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'too_long'} True\n", done.stdout + done.stderr


def test_columns_that_were_never_seen_are_text() -> None:
    assert infer_schema(("a",), []).equals(pa.schema([("a", pa.string())]))
