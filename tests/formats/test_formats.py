"""Every record of a file is scored or rejected, once, whatever else is in the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from conftest import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairlift import formats
from pairlift.errors import InputError
from pairlift.formats import Format, lines
from pairlift.formats.row import Columns, Row


def read(path: Path) -> list[Row]:
    """Return the rows of a file."""
    return list(formats.read_rows(str(path)))


def write(path: Path, data: bytes) -> Path:
    """Write a file, and return its path."""
    path.write_bytes(data)
    return path


def reasons(rows: list[Row]) -> list[str | None]:
    """Return why each row cannot be scored."""
    return [row.error.reason if row.error else None for row in rows]


def test_one_stray_quote_costs_one_row(tmp_path: Path) -> None:
    text = 'a,b\n1,"x"\n2,"stray\n3,y\n4,"two\nlines"\n5,"z"\n'
    rows = read(write(tmp_path / "in.csv", text.encode()))
    assert reasons(rows) == [None, "bad_csv", None, None, None]
    assert [row.values.get("b") for row in rows] == ["x", None, "y", "two\nlines", "z"]
    assert str(rows[1].error) == "bad_csv: a quote that is opened and not closed"


def test_a_quote_inside_an_unquoted_field_is_one_of_its_characters(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "in.csv", b'a,b\n5\'8",x\nhe said "no",y\n6" or 7",z\n'))
    assert [tuple(row.values.values()) for row in rows] == [("5'8\"", "x"), ('he said "no"', "y"), ('6" or 7"', "z")]


def test_two_stray_quotes_cost_two_rows_and_nothing_between(tmp_path: Path) -> None:
    text = 'a,b\n1,"stray\n2,x\n3,"stop\n4,y\n'
    rows = read(write(tmp_path / "in.csv", text.encode()))
    assert [row.values.get("a") for row in rows if row.error is None] == ["2", "4"]
    assert reasons(rows) == ["bad_csv", None, "bad_csv", None]


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (b"1\n", "ragged_row", "expected 2 fields, found 1"),
        (b"1,2,3\n", "ragged_row", "expected 2 fields, found 3"),
        (b'1,"2" 3\n', "bad_csv", "',' expected after '\"'"),
        (b"1,a\rb\n", "bad_csv", "a carriage return inside an unquoted field"),
        (b"1,caf\xe9\n", "not_utf8", "invalid continuation byte at byte 5 of the record"),
        (b"1," + b"x" * lines.MAX_LINE + b"\n", "too_long", f"a line of {lines.MAX_LINE + 3} bytes, expected at most {lines.MAX_LINE}"),
    ],
)  # fmt: skip
def test_a_bad_record_has_its_reason_and_the_next_is_read(
    tmp_path: Path, record: bytes, reason: str, detail: str
) -> None:
    rows = read(write(tmp_path / "in.csv", b"a,b\n0,x\n" + record + b"9,y\n"))
    assert reasons(rows) == [None, reason, None]
    assert str(rows[1].error) == f"{reason}: {detail}"
    assert rows[2].values == {"a": "9", "b": "y"}


def test_bytes_and_lines_say_where_a_record_stands(tmp_path: Path) -> None:
    data = '\ufeffa,b\r\n1,é\r\n\r\n2,"x\ny"\r\nbad\r\n3,z'.encode()
    rows = read(write(tmp_path / "in.csv", data))
    assert [data[row.start : row.end] for row in rows] == ["1,é\r\n".encode(), b'2,"x\ny"\r\n', b"bad\r\n", b"3,z"]
    assert [row.line for row in rows] == [2, 4, 6, 7]
    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert list(rows[0].values) == ["a", "b"]


def test_a_line_that_is_too_long_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    asked: list[int] = []

    class Watched(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            asked.append(size or -1)
            return super().readline(size)

    reader = lines.LineReader(Watched(b"a\n" + b"x" * 5000 + b"\nb\n"), "in")
    found = [reader.next() for _ in range(4)]
    assert [line and (line.whole, len(line.data), line.end) for line in found] == [(True, 2, 2), (False, 100, 5003), (True, 2, 5005), None]  # fmt: skip
    assert set(asked) == {100}


@pytest.mark.parametrize(("codec", "name"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-16-be", None)])
def test_other_encodings_are_named(tmp_path: Path, codec: str, name: str | None) -> None:
    text = "a,b\n1,2\n" if name else "\ufeffa,b\n1,2\n"
    with pytest.raises(InputError, match=rf"{name or 'UTF-16'}, expected UTF-8; convert it: iconv -f UTF-"):
        read(write(tmp_path / "in.csv", text.encode(codec)))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    text = "".join(f"{i},{i * i}\n" for i in range(5000)).encode()
    packed = gzip.compress(b"a,b\n" + text) if suffix == ".gz" else zstd.compress(b"a,b\n" + text)
    assert len(read(write(tmp_path / f"whole.csv{suffix}", packed + (gzip.compress(b"x,y\n") if suffix == ".gz" else zstd.compress(b"x,y\n"))))) == 5001  # fmt: skip
    with pytest.raises(InputError, match=r"cut off or damaged after line \d+ .*; copy the file again"):
        read(write(tmp_path / f"cut.csv{suffix}", packed[:-9]))
    with pytest.raises(InputError, match=r"(cannot be read|cut off or damaged) after line \d+"):
        read(write(tmp_path / f"trail.csv{suffix}", packed + b"garbage"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_a_compressed_output_holds_what_a_plain_one_does(
    pairlift: Run, bundle: Path, tmp_path: Path, suffix: str, packing: str
) -> None:
    rows = [{"premise": f"the dog {i}", "hypothesis": "a cat"} for i in range(20)]
    source = write(tmp_path / "in.jsonl.gz", gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert pairlift("score", bundle, source, tmp_path / f"plain{suffix}").returncode == 0
    output = tmp_path / f"out{suffix}{packing}"
    assert pairlift("score", bundle, source, output).returncode == 0
    unpack = {"": bytes, ".gz": gzip.decompress, ".zst": zstd.decompress}[packing]
    assert unpack(output.read_bytes()) == (tmp_path / f"plain{suffix}").read_bytes()


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def csv_line(fields: list[str]) -> str:
    """Return a record as Python's csv writes it."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue()


@given(st.lists(st.tuples(FIELD, FIELD), max_size=12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_valid_csv_is_read_as_it_was_written(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = write(
        tmp_path / "in.csv", ("a,b\n" + "".join(csv_line([f"x{first}", second]) for first, second in rows)).encode()
    )
    found = read(path)
    assert reasons(found) == [None] * len(rows)
    assert [tuple(row.values.values()) for row in found] == [(f"x{first}", second) for first, second in rows]


CORRUPTIONS: dict[str, list[bytes]] = {
    ".csv": [b'7,"never closed\n', b"1,2,3,4\n", b"lone\n", b"1,\xff\n", b'a,"b"c\n', b"1,\r2\n"],
    ".tsv": [b"1\t2\t3\t4\n", b"lone\n", b"1\t\xff\n"],
    ".jsonl": [b"{broken\n", b"[1]\n", b'{"a": NaN}\n', b"\xff\n", b'"text"\n', b'{"a": "\\ud800"}\n', b"{}{}\n"],
}
WORD = st.text(st.sampled_from("abc é,'."), min_size=1, max_size=8)


@pytest.mark.parametrize("suffix", CORRUPTIONS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_record_that_is_not_corrupted_is_read_and_in_order(tmp_path: Path, suffix: str, data: Any) -> None:
    good = data.draw(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=10))
    records: list[tuple[bytes, dict[str, str] | None]] = []
    for first, second in good:
        values = {"a": first, "b": second}
        if suffix == ".jsonl":
            records.append((json.dumps(values).encode() + b"\n", values))
        else:
            text = csv_line([first, second]) if suffix == ".csv" else f"{first}\t{second}\n"
            records.append((text.encode(), values))
    for _ in range(data.draw(st.integers(0, 5))):
        place = data.draw(st.integers(0, len(records)))
        records.insert(place, (data.draw(st.sampled_from(CORRUPTIONS[suffix])), None))
    header = {".csv": b"a,b\n", ".tsv": b"a\tb\n", ".jsonl": b""}[suffix]
    rows = read(write(tmp_path / f"in{suffix}", header + b"".join(record for record, _ in records)))
    assert [row.values for row in rows if row.error is None] == [values for _, values in records if values is not None]
    assert len(rows) == len(records)
    assert [row.number for row in rows] == list(range(len(records)))


def test_a_carriage_return_is_written_in_quotes(tmp_path: Path) -> None:
    writer = formats.make_writer(Format(".csv"), Columns(given=("a",), added=("p",)))
    row = read(write(tmp_path / "in.jsonl", b'{"a": "x\\ry"}'))[0]
    assert writer.spell(row, "yes", []) == b'"x\ry",yes\n'


def test_a_tsv_value_may_hold_quotes(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "in.tsv", b'a\tb\n"x\t y"\n'))
    assert rows[0].values == {"a": '"x', "b": ' y"'}
    writer = formats.make_writer(Format(".tsv", quoted=False), Columns(given=("a", "b"), added=("p",)))
    assert writer.spell(rows[0], "yes", []) == b'"x\t y"\tyes\n'
