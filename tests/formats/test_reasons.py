"""What is wrong with a row or a file has a name, whatever it is, and the rest is scored."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from backports import zstd
from conftest import ROOT, Run
from pairlift import formats
from pairlift.errors import InputError
from pairlift.formats import Columns, Format
from pairlift.formats.lines import MAX_LINE
from pairlift.formats.row import Row

GOOD = '{"premise": "a dog", "hypothesis": "a cat"}\n'


def score(pairlift: Run, bundle: Path, source: Path, output: Path, *options: str) -> tuple[int, dict[int, str]]:
    """Score a file, and return the exit code and each rejected row's reason and detail."""
    done = pairlift("score", bundle, source, output, *options)
    assert "Traceback" not in done.stderr, done.stderr
    rejects = Path(f"{output}.rejects.jsonl")
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    return done.returncode, {r["row"]: f"{r['reason']}: {r['detail']}" for r in map(json.loads, lines)}


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ('{"premise": "a", "hypothesis": "b", "premise": "c"}', "duplicate_key: key 'premise' appears twice"),
        ('{"premise": "a", "hypothesis": "b", "x": {"k": 1, "k" :2}}', "duplicate_key: key 'k' appears twice"),
        ('{"premise": "a", "hypothesis": "b", "x"\t:1, "x": 2}', "duplicate_key: key 'x' appears twice"),
        ('{"premise": "a\\u0000b", "hypothesis": "b"}', "nul: premise: NUL at character 1, where a tokenizer would stop"),
        ('{"premise": "a", "hypothesis": NaN}', "bad_json: "),
        ('{"premise": "a", "hypothesis": "\\ud800"}', "bad_json: "),
        ('{"premise": "a", "hypothesis": "b", "x": ' + "[" * 5000 + "]" * 5000 + "}", ("bad_json: depth limit exceeded", "bad_json: array and object recursion depth exceeded")),
        ('{"premise": "a", "hypothesis": "b", "x": ' + "[" * 1010 + "]" * 1010 + "}", "bad_json: nested too deep"),
        ('{"premise": "a", "hypothesis": 1}', "not_text: hypothesis: found int, expected a string"),
        ('{"premise": "a", "hypothesis": null}', "not_text: hypothesis: found null, expected a string"),
        ('{"premise": "a"}', "missing_field: no key 'hypothesis'"),
        ('{"premise": "a", "hypothesis": "b", "prediction": 1}', "column_taken: the row has a key 'prediction' already"),
        ("[1, 2]", "not_an_object: found list, expected an object"),
        ('"text"', "not_an_object: found str, expected an object"),
        ('{"premise": "' + "x" * MAX_LINE + '", "hypothesis": "b"}', f"too_long: a line of {MAX_LINE + 35} bytes, expected at most"),
    ],
)  # fmt: skip
def test_a_bad_line_of_json_has_its_reason_and_the_others_are_scored(
    pairlift: Run, bundle: Path, tmp_path: Path, line: str, outcome: str | tuple[str, ...]
) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD + line + "\n" + GOOD)
    code, rejects = score(pairlift, bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert code == 1
    assert list(rejects) == [1]
    assert rejects[1].startswith(outcome)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_colons_and_quotes_inside_texts_are_no_keys(tmp_path: Path) -> None:
    line = json.dumps({"a": 'say "b": "c": "d" :', "list": ['"x":'], "deep": {"a": 1, "b": {"a": 2}}})
    (tmp_path / "in.jsonl").write_text(line)
    row = next(formats.read_rows(str(tmp_path / "in.jsonl")))
    assert (row.error, row.values) == (None, json.loads(line))


def test_a_nul_in_csv_is_rejected(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("premise,hypothesis\na\0b,c\nd,e\n")
    code, rejects = score(pairlift, bundle, tmp_path / "in.csv", tmp_path / "out.csv")
    assert (code, rejects) == (1, {0: "nul: premise: NUL at character 1, where a tokenizer would stop reading"})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_named(tmp_path: Path, suffix: str, codec: str) -> None:
    (tmp_path / f"in{suffix}").write_bytes(("premise,hypothesis\n" if suffix == ".csv" else GOOD).encode(codec))
    with pytest.raises(
        InputError, match=rf"in{suffix}:1: .*holds NUL, as UTF-16 does; expected UTF-8: iconv -f UTF-16LE"
    ):
        list(formats.read_rows(str(tmp_path / f"in{suffix}")))


def test_a_file_of_lone_carriage_returns_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"premise,hypothesis\ra,b\rc,d\r")
    with pytest.raises(InputError, match="the header is bad_csv: a carriage return inside an unquoted field"):
        list(formats.read_rows(str(tmp_path / "in.csv")))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_decompression_bomb_is_one_rejected_row(pairlift: Run, bundle: Path, tmp_path: Path, suffix: str) -> None:
    data = GOOD.encode() + b"x" * (64 << 20) + b"\n" + GOOD.encode()
    packed = gzip.compress(data) if suffix == ".gz" else zstd.compress(data)
    assert len(packed) * 900 < len(data)
    (tmp_path / f"in.jsonl{suffix}").write_bytes(packed)
    code, rejects = score(pairlift, bundle, tmp_path / f"in.jsonl{suffix}", tmp_path / "out.jsonl")
    assert (code, rejects) == (1, {1: f"too_long: a line of {(64 << 20) + 1} bytes, expected at most {MAX_LINE}"})


@pytest.mark.parametrize(("suffix", "blank"), [(".jsonl", b" "), (".csv", b"\r"), (".tsv", b"\r")])
def test_a_row_behind_a_mebibyte_of_blanks_is_not_lost(tmp_path: Path, suffix: str, blank: bytes) -> None:
    header = b"" if suffix == ".jsonl" else b"premise,hypothesis\n".replace(b",", b"," if suffix == ".csv" else b"\t")
    (tmp_path / f"in{suffix}").write_bytes(header + blank * MAX_LINE + GOOD.encode())
    row = next(formats.read_rows(str(tmp_path / f"in{suffix}")))
    assert str(row.error) == f"too_long: a line of {MAX_LINE + len(GOOD)} bytes, expected at most {MAX_LINE}"


def test_keys_that_come_late_are_rejected_where_the_output_has_columns(
    pairlift: Run, bundle: Path, tmp_path: Path
) -> None:
    early = '{"premise": "a", "hypothesis": "b", "x": 1}\n'
    late = '{"premise": "a", "hypothesis": "b", "y": 1}\n'
    (tmp_path / "in.jsonl").write_text(GOOD + early * 4095 + late + GOOD)
    code, rejects = score(pairlift, bundle, tmp_path / "in.jsonl", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("premise,hypothesis,x,prediction,")
    assert (code, rejects) == (1, {4096: "unknown_column: key 'y' does not occur in the first rows, whose keys are the output's columns; write JSONL"})  # fmt: skip
    assert score(pairlift, bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == (0, {})


def test_an_integer_of_any_size_is_the_same_in_csv(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(f'{{"a": {2**90}, "b": [{2**90}], "c": 1.5, "d": -{2**63}}}')
    row = next(formats.read_rows(str(tmp_path / "in.jsonl")))
    writer = formats.make_writer(Format(".csv"), Columns(given=("a", "b", "c", "d"), added=("p",)))
    assert writer.spell(row, "yes", []) == f"{2**90},[{2**90}],1.5,-{2**63},yes\n".encode()  # type: ignore[attr-defined]


def test_numbers_and_nested_values_of_json_lines_are_the_same_text_in_csv(tmp_path: Path) -> None:
    values = [
        "-0",
        "0.1000000000000000055511151231257827",
        "12345678901234567.0",
        "1E5",
        '[1.10, {"a" : -0}]',
        "true",
    ]
    text = ", ".join(f'"k{i}"\t: {value}' for i, value in enumerate(values))
    (tmp_path / "in.jsonl").write_text(f'{{ {text}, "s": "a\\u0062\\"c", "n" :null }}')
    row = next(formats.read_rows(str(tmp_path / "in.jsonl")))
    names = (*(f"k{i}" for i in range(len(values))), "s", "n")
    writer = formats.make_writer(Format(".tsv", quoted=False), Columns(given=names, added=("p",)))
    assert row.error is None
    assert writer.spell(row, "yes", []).decode().split("\t") == [*values, 'ab"c', "", "yes\n"]  # type: ignore[attr-defined]


def test_a_carriage_return_before_the_line_end_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"a,b\n1,x\r\r\n2,y\r\n")
    rows = list(formats.read_rows(str(tmp_path / "in.csv")))
    assert [str(row.error) for row in rows] == ["bad_csv: a carriage return inside an unquoted field", "None"]
    assert rows[1].values == {"a": "2", "b": "y"}


def test_a_line_that_is_too_long_inside_a_quoted_record_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b'a,b\n1,"x\n' + b"z" * (2 * MAX_LINE) + b'"\n2,y\n')
    rows = list(formats.read_rows(str(tmp_path / "in.csv")))
    assert [row.error.reason if row.error else None for row in rows] == ["bad_csv", "too_long", None]


def test_a_row_that_is_rejected_decides_no_column_and_no_type(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    bad = '{"premise": 5, "hypothesis": "a cat", "other": 1}\n'
    (tmp_path / "in.jsonl").write_text(GOOD + bad + GOOD)
    code, rejects = score(pairlift, bundle, tmp_path / "in.jsonl", tmp_path / "out.parquet")
    assert (code, rejects) == (1, {1: "not_text: premise: found int, expected a string"})
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.names[:3] == ["premise", "hypothesis", "prediction"]
    assert found["premise"].to_pylist() == ["a dog", "a dog"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"{}", mtime=0), r"in\.jsonl: is gzip \(\.gz\), expected text; give the file that extension"),
        (zstd.compress(b"{}"), r"in\.jsonl: is zstd \(\.zst\), expected text"),
        (b"PAR1\x15\x04", r"in\.jsonl: is Parquet \(\.parquet\), expected text"),
    ],
    ids=["gzip", "zstd", "parquet"],
)
def test_a_packed_file_under_a_plain_name_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(data)
    with pytest.raises(InputError, match=message):
        list(formats.read_rows(str(tmp_path / "in.jsonl")))


def test_hostile_files_take_time_in_proportion_to_their_size(tmp_path: Path) -> None:
    """Each of these took a minute when something in it was looked at once for each row, column or key."""
    (tmp_path / "quote.csv").write_bytes(b'a,b\n"1,2\n' + b"a,b\n" * 262_144)
    (tmp_path / "wide.csv").write_bytes(",".join(f"c{i}" for i in range(60_000)).encode() + b"\n")
    keys = ",".join(f'"k{i}":1' for i in range(60_000))
    (tmp_path / "keys.jsonl").write_text(f'{{{keys},"k59999":2}}\n')
    code = (
        "import sys; from pairlift import formats; print([sum(1 for _ in formats.read_rows(n)) for n in sys.argv[1:]])"
    )
    names = [str(tmp_path / name) for name in ("quote.csv", "wide.csv", "keys.jsonl")]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "[262145, 0, 1]\n", done.stderr


def test_a_rejected_row_keeps_nothing_but_itself(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{broken\n")
    (tmp_path / "in.csv").write_text('a,b\n1,"x" y\n')
    for name in ("in.jsonl", "in.csv"):
        row = next(formats.read_rows(str(tmp_path / name)))
        assert row.error is not None
        assert (row.error.__traceback__, row.error.__context__) == (None, None)


def test_a_value_that_cannot_be_spelt_as_json_is_a_row_error(tmp_path: Path) -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    row = Row(number=0, line=1, start=0, end=1, values={"a": nested}, raw="", batch=object())
    written = formats.make_writer(Format(".csv"), Columns(given=("a",), added=("p",)))
    with pytest.raises(Exception, match="unwritable: a value that JSON cannot hold: "):
        written.spell(row, "yes", [])  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quoting_is_as_it_is_asked_for(pairlift: Run, bundle: Path, tmp_path: Path, suffix: str) -> None:
    tab = "," if suffix == ".csv" else "\t"
    (tmp_path / f"in{suffix}").write_text(f'premise{tab}hypothesis\n"a{tab}b"{tab}c\nsay "no"{tab}d\n')
    assert (
        score(pairlift, bundle, tmp_path / f"in{suffix}", tmp_path / f"quoted{suffix}", "--quoting", "minimal")[0] == 0
    )
    assert (tmp_path / f"quoted{suffix}").read_text().splitlines()[1].startswith(f'"a{tab}b"{tab}c{tab}')
    code, rejects = score(pairlift, bundle, tmp_path / f"in{suffix}", tmp_path / f"plain{suffix}", "--quoting", "none")
    assert (code, rejects) == (1, {0: "ragged_row: expected 2 fields, found 3"})
    assert (tmp_path / f"plain{suffix}").read_text().splitlines()[1].startswith(f'say "no"{tab}d{tab}')


def test_a_tab_in_unquoted_tsv_is_a_ragged_row_and_is_never_written(
    pairlift: Run, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.tsv").write_text("premise\thypothesis\na\tb\tc\nd\te\n")
    code, rejects = score(pairlift, bundle, tmp_path / "in.tsv", tmp_path / "out.tsv")
    assert (code, rejects) == (1, {0: "ragged_row: expected 2 fields, found 3"})
    (tmp_path / "in.jsonl").write_text('{"premise": "a\\tb", "hypothesis": "c"}\n' + GOOD)
    code, rejects = score(pairlift, bundle, tmp_path / "in.jsonl", tmp_path / "again.tsv")
    assert (code, list(rejects)) == (1, [0])
    assert (
        "a tab or line end inside a value, which cannot be written without quotes; add --quoting minimal" in rejects[0]
    )


def test_a_column_name_that_cannot_be_written_is_a_usage_error(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('premise,hypothesis,"a\tb"\n1,2,3\n')
    done = pairlift("score", bundle, tmp_path / "in.csv", tmp_path / "out.tsv")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "the columns' names cannot be written as the output's header: a tab" in done.stderr


def test_every_reason_is_documented_and_every_documented_reason_exists() -> None:
    raised = set()
    for path in (ROOT / "infer").rglob("*.py"):
        raised |= set(re.findall(r'RowError\(\s*"(\w+)"', path.read_text()))
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert raised == documented
