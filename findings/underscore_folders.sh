#!/usr/bin/env bash
# pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.1, Python 3.11.
# Behaviour: a folder whose name begins with an underscore is no data for pyarrow (as for Spark and Hive). Polars reads it
# when it is given the directory; so does DuckDB's ** (its * does not): rows of what was put aside there come up among the data,
# without an error, if the files have the same format.
# Seen, for a directory of one part with 2 rows and _side/x.jsonl with 1 row:
#   pyarrow dataset  2
#   polars  dir/     3
#   polars  dir/*    2
#   duckdb  dir/*    2
#   duckdb  dir/**   3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "duckdb==2.0.1" "polars==2.1.0" "pyarrow==26.0.1" 2>/dev/null
mkdir -p data/_side
printf '{"a":1}\n{"a":2}\n' > data/part-0.jsonl
printf '{"a":3}\n' > data/_side/x.jsonl
cat > try.py <<'PY'
import duckdb
import polars
import pyarrow.dataset

found = {
    "pyarrow dataset ": pyarrow.dataset.dataset("data", format="json").count_rows(),
    "polars  dir/    ": polars.scan_ndjson("data/").collect().height,
    "polars  dir/*   ": polars.scan_ndjson("data/*").collect().height,
    "duckdb  dir/*   ": duckdb.sql("select count(*) from read_json('data/*')").fetchall()[0][0],
    "duckdb  dir/**  ": duckdb.sql("select count(*) from read_json('data/**')").fetchall()[0][0],
}
for name, rows in found.items():
    print(name, rows)
raise SystemExit(list(found.values()) != [2, 3, 2, 2, 3])
PY
venv/bin/python try.py
