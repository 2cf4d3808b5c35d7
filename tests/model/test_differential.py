"""Valid files are read as DuckDB and pyarrow read them, quoted line ends included."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairlift import formats

# What the three mean alike: no NUL; DuckDB's sniffer is given the dialect, so that it has nothing to guess.
TEXT = st.text(st.one_of(st.sampled_from('ab,;"\'\n\r\t é#|\\'), st.characters(codec="utf-8", exclude_characters="\0")), max_size=12)  # fmt: skip
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=15)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ours(path: Path) -> list[tuple[Any, ...]]:
    """Return the values of a file's rows, none of which may be bad."""
    rows = list(formats.read_rows(str(path)))
    assert [row.error for row in rows] == [None] * len(rows)
    return [tuple(row.values.values()) for row in rows]


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    """Write a file with every field quoted, which nobody reads differently."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b", "c"), *rows])
    path.write_bytes(buffer.getvalue().encode())


@given(ROWS)
@SETTINGS
def test_csv_is_read_as_pyarrow_reads_it(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    path = tmp_path / "in.csv"
    write_csv(path, rows)
    theirs = pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys("abc", pa.string()), strings_can_be_null=False
        ),
    )
    assert ours(path) == [tuple(row.values()) for row in theirs.to_pylist()] == rows


@given(ROWS)
@SETTINGS
def test_csv_is_read_as_duckdb_reads_it(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    path = tmp_path / "in.csv"
    write_csv(path, rows)
    theirs = duckdb.sql(
        f"from read_csv('{path}', header=true, auto_detect=false, delim=',', quote='\"', escape='\"', new_line='\\n', "
        "columns={'a': 'varchar', 'b': 'varchar', 'c': 'varchar'}, nullstr='\\0never', allow_quoted_nulls=false)"
    ).fetchall()
    assert ours(path) == theirs == rows


@given(st.lists(st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=15))  # fmt: skip
@SETTINGS
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_lines_are_read_as_duckdb_and_pyarrow_read_them(
    tmp_path: Path, ascii_only: bool, rows: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "in.jsonl"
    lines = [json.dumps(dict(zip("abcd", row, strict=True)), ensure_ascii=ascii_only) for row in rows]
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    schema = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.bool_()), ("d", pa.float64())])
    arrow = pa.json.read_json(path, parse_options=pa.json.ParseOptions(explicit_schema=schema))
    duck = duckdb.sql(
        f"from read_json('{path}', format='newline_delimited', columns={{a: 'varchar', b: 'bigint', c: 'boolean', d: 'double'}})"
    ).fetchall()
    assert ours(path) == [tuple(row.values()) for row in arrow.to_pylist()] == duck == rows
