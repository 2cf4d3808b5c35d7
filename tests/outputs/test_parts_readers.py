"""A directory of parts is read the ordinary way by the libraries that people have: the scored rows come, each once, and nothing else.

What is in `_pairlift/` (the manifest, the rejected rows, what abandoned jobs have left) is no data. Pandas and Arrow pass over it by
its name; Polars and DuckDB do not look into folders for `*`. With a directory's name alone Polars refuses, and `**` of DuckDB would
read the manifest too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import SMALL_BUNDLE, score_small
from pairlift import Scorer
from pairlift.errors import InputError

ROWS = 100
KINDS = (".jsonl", ".csv", ".csv.gz", ".tsv", ".parquet")
GOOD = [i for i in range(ROWS) if i % 11 != 5 and i // 16 != 2]  # of the third chunk all rows are broken
Read = Callable[[Path], Any]  # of a directory: what has columns
Values = list[tuple[Any, ...]]


def list_values(read: Any) -> Values:
    """Return the values of a table of any library, in order of the column `id`."""
    if isinstance(read, pl.DataFrame):
        read = read.to_dicts()
    elif isinstance(read, pd.DataFrame):
        read = read.to_dict("records")
    elif isinstance(read, duckdb.DuckDBPyRelation):
        read = [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()]
    elif isinstance(read, pa.Table):
        read = read.to_pylist()
    return sorted(tuple(row.values()) for row in read)


def read_by_arrow(kind: str) -> Read:
    """Return a reader of data sets."""
    if kind in (".jsonl", ".parquet"):
        form: Any = {".jsonl": "json", ".parquet": "parquet"}[kind]
    else:
        form = ds.CsvFileFormat(parse_options=pa.csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ","))
    return lambda where: ds.dataset(where, format=form).to_table()


def read_by_polars(kind: str, pattern: str) -> Read:
    """Return a lazy reader of a pattern below a directory."""
    if kind == ".parquet":
        return lambda where: pl.scan_parquet(f"{where}{pattern}").collect()
    if kind == ".jsonl":
        return lambda where: pl.scan_ndjson(f"{where}{pattern}").collect()
    separator = "\t" if kind == ".tsv" else ","
    return lambda where: pl.scan_csv(f"{where}{pattern}", separator=separator).collect()


def read_by_duckdb(kind: str, pattern: str) -> Read:
    """Return a query of a pattern below a directory."""
    function = {".parquet": "read_parquet", ".jsonl": "read_json"}.get(kind, "read_csv")
    return lambda where: duckdb.sql(f"select * from {function}('{where}{pattern}')")


READERS: list[tuple[str, str, Read]] = [
    (".parquet", "pandas", pd.read_parquet),
    (".parquet", "pyarrow.parquet", pq.read_table),
    (".parquet", "polars.read_parquet", lambda where: pl.read_parquet(where / "*")),
    (".csv", "pandas", lambda where: pd.concat(map(pd.read_csv, sorted(where.glob("*.csv"))))),
    (".csv.gz", "pandas", lambda where: pd.concat(map(pd.read_csv, sorted(where.glob("*.csv.gz"))))),
    (".jsonl", "pandas", lambda where: pd.concat(pd.read_json(p, lines=True) for p in sorted(where.glob("*.jsonl")))),
    *((kind, "pyarrow.dataset", read_by_arrow(kind)) for kind in KINDS),
    *((kind, f"polars {p}", read_by_polars(kind, p)) for kind in KINDS for p in ("/*", "/part-*", f"/*{kind}")),
    *((kind, f"duckdb {p}", read_by_duckdb(kind, p)) for kind in KINDS for p in ("/*", "/part-*", f"/*{kind}")),
]


def write_input(path: Path, broken: bool = True) -> None:
    """Write JSON lines, some of them broken, and all of the third chunk."""
    lines = [json.dumps({"id": i, "premise": f"the dog {i}", "hypothesis": "a cat"}) for i in range(ROWS)]
    lines = [line if i in GOOD or not broken else "{broken" for i, line in enumerate(lines)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return outputs by their format and shape; each is made once."""
    root = tmp_path_factory.mktemp("outputs")
    scorer = Scorer.open(SMALL_BUNDLE)
    known: dict[tuple[str, str], Path] = {}

    def make(kind: str, shape: str) -> Path:
        if (kind, shape) not in known:
            source, where = root / f"{len(known)}.jsonl", root / f"scores-{shape}{kind}"
            write_input(source)
            score_small(scorer, source, f"{where}/", chunk_rows=ROWS if shape == "one part" else 16)
            assert (len(list(where.glob("part-*"))) == 1) == (shape == "one part")
            assert list(where.glob("_pairlift/rejects-*.jsonl"))
            if shape == "tombstones":
                abandon_over(scorer, source, where)
            known[kind, shape] = where
        return known[kind, shape]

    return make


def abandon_over(scorer: Scorer, source: Path, where: Path) -> None:
    """Begin another job that is to replace a finished output, and change its input meanwhile: it leaves how it ended."""
    other = source.with_name(f"other-{source.name}")
    write_input(other)

    def change(step: object) -> None:
        other.write_text(other.read_text() + "{}\n")

    with pytest.raises(InputError, match="changed while it was read"):
        score_small(scorer, other, f"{where}/", force=True, progress=change)
    assert list(where.glob("_pairlift/job/*/verdict.json"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """What the rows are, by the job of one file."""
    folder = tmp_path_factory.mktemp("whole")
    write_input(folder / "in.jsonl")
    score_small(Scorer.open(SMALL_BUNDLE), folder / "in.jsonl", folder / "out.jsonl")
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == GOOD
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("shape", ["many parts", "one part", "tombstones"])
@pytest.mark.parametrize(("kind", "read"), [pytest.param(k, r, id=f"{k}-{name}") for k, name, r in READERS])
def test_every_reader_gives_the_scored_rows_with_their_types_and_nothing_else(
    made: Callable[[str, str], Path], expected: Values, kind: str, read: Read, shape: str
) -> None:
    found = list_values(read(made(kind, shape)))
    assert [tuple(map(type, row)) for row in found] == [tuple(map(type, row)) for row in expected]
    assert found == [tuple(pytest.approx(v, rel=1e-6) if isinstance(v, float) else v for v in row) for row in expected]


@pytest.mark.parametrize("shape", ["many parts", "one part", "tombstones"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_readers_that_do_not_pass_over_the_folder_refuse_it_and_never_give_other_rows(
    made: Callable[[str, str], Path], kind: str, shape: str
) -> None:
    for pattern in ("", "/", "/**"):
        with pytest.raises((pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError)):
            read_by_polars(kind, pattern)(made(kind, shape))


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_which_all_rows_were_rejected_has_no_part(made: Callable[[str, str], Path], kind: str) -> None:
    rows = [int(path.name.split("-")[2]) for path in sorted(made(kind, "many parts").glob("part-*"))]
    assert rows == [0, 16, 48, 64, 80, 96]
