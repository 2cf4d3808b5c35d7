"""Where rows begin and end is found without reading them, and is where reading finds it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pairlift import formats
from pairlift.errors import InputError, UsageError
from pairlift.formats import Format, delimited, lines
from pairlift.formats.delimited import DelimitedReader
from pairlift.formats.jsonl import JsonlReader
from pairlift.formats.lines import LineReader
from pairlift.formats.row import Place, Row, Span
from pairlift.inputs.rows import CHUNK_ROWS, take_windows

Where = tuple[int, int | None, int | None, int | None]
HEADERS = ["a,b\n", "a,b,c\r\n", "a\n", '"a","b"\n', "\ufeffa,b\n", '"a\nb",c\n', "a\tb\n", "a,b", '""\n']
PIECE = st.sampled_from(
    ['"', '"', '""', ",", ",", "\n", "\n", "\n", "\r\n", "\r", "a", "é", " ", "\t", "x" * 40, '"a,b"', '"a\nb"', ',"', '",', '"\n', "a,b\n", "\n\n", '"a""b",', "\0"]
)  # fmt: skip
TEXT = st.lists(PIECE, max_size=40).map("".join)


def open_text(data: bytes, quoted: bool = True, delimiter: str = ",") -> DelimitedReader:
    """Return the reader of a text."""
    kind = ".csv" if delimiter == "," else ".tsv"
    return cast("DelimitedReader", formats.open_reader(io.BytesIO(data), "in", Format(kind, "", quoted)))


def place(row: Row | Span) -> Where:
    """Return where a row is."""
    return row.number, row.line, row.start, row.end


def check(data: bytes, quoted: bool, delimiter: str) -> list[Row]:
    """Hold spans to rows, from the beginning and from every row on, and return the rows."""
    try:
        rows = list(open_text(data, quoted, delimiter))
    except (InputError, UsageError):  # by the header
        return []
    wanted = [place(row) for row in rows]
    assert [place(span) for span in open_text(data, quoted, delimiter).spans()] == wanted
    for i, row in enumerate(rows):
        at = Place(row=row.number, line=row.line, start=row.start)
        reader = open_text(data, quoted, delimiter)
        reader.move(moved(data, row.start or 0), at)
        spans = reader.spans()
        assert place(next(spans)) == wanted[i]
        reader.move(moved(data, row.start or 0), at)
        assert [place(span) for span in reader.spans()] == wanted[i:]
        if len(rows) > 20 and i > 5:
            break
    return rows


def moved(data: bytes, start: int) -> BinaryIO:
    """Return a file that is at a place."""
    file = io.BytesIO(data)
    file.seek(start)
    return file


@given(header=st.sampled_from(HEADERS), text=TEXT, quoted=st.booleans(), delimiter=st.sampled_from(",\t"))
@example(header="a,b\n", text='1,"stray\n2,x\n3,"stop\n4,y\n', quoted=True, delimiter=",")
@example(header="a,b\n", text='1,"two\nlines"\n"x\n\n\n', quoted=True, delimiter=",")
@example(header="a,b\n", text='5\'8",x\n6" or 7",y\n', quoted=True, delimiter=",")
@example(header="a\n", text="\n\r\n\n", quoted=True, delimiter=",")
@settings(max_examples=1500, deadline=None)
def test_spans_are_where_the_rows_are(header: str, text: str, quoted: bool, delimiter: str) -> None:
    check((header + text).encode(), quoted, delimiter)


@given(header=st.sampled_from(HEADERS), text=st.binary(max_size=60), quoted=st.booleans())
@settings(max_examples=300, deadline=None)
def test_spans_of_any_bytes_are_where_the_rows_are(header: str, text: bytes, quoted: bool) -> None:
    check(header.encode() + text, quoted, ",")


@given(text=TEXT, quoted=st.booleans(), most=st.sampled_from([8, 20, 60]))
@settings(max_examples=600, deadline=None)
def test_spans_of_lines_that_are_too_long_are_where_the_rows_are(text: str, quoted: bool, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE", most)
        patch.setattr(delimited, "MAX_LINE", most)
        check(("a,b\n" + text).encode(), quoted, ",")
        check(("a\n" + text).encode(), quoted, ",")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("a,b\n1,2\n3,4", ["1,2\n", "3,4"]),
        ("\ufeffa,b\r\n1,2\r\n\r\n\r\r\n3,4\r\n", ["1,2\r\n", "3,4\r\n"]),
        ("a\n\n1\n", ["\n", "1\n"]),
        ('a,b\n"1\n2",3\n"4,5\n6,7\n', ['"1\n2",3\n', '"4,5\n', "6,7\n"]),
        ('a,b\n"1""2",3\nsix "inch",7"\n8,9\n', ['"1""2",3\n', 'six "inch",7"\n', "8,9\n"]),
    ],
)
def test_spans_are_the_bytes_of_the_rows(text: str, bounds: list[str]) -> None:
    data = text.encode()
    spans = list(open_text(data).spans())
    assert [data[span.start : span.end] for span in spans] == [bound.encode() for bound in bounds]


def test_a_line_of_more_than_a_mebibyte_is_one_span() -> None:
    for filler in (b"x", b'"', b'"x', b"\r"):
        text = b"a,b\n0,1\n" + filler * (lines.MAX_LINE + 7) + b"\n2,3\n"
        check(text, True, ",")
        check(text, False, ",")


def test_an_even_number_of_quotes_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"a,b\n" + b'1,"x, y"\n2,z\n"",""\n' * 50
    reader = open_text(text)
    monkeypatch.setattr(DelimitedReader, "_read_record", None)
    assert len(list(reader.spans())) == 150


def test_a_size_is_that_of_the_bytes() -> None:
    text = ('a,b\n1,"é, x"\n' + '2,"y\nz"\n' * 99).encode()
    windows = list(take_windows(cast("Iterator[Row | Span]", open_text(text).spans()), 0, CHUNK_ROWS))
    assert sum((span.end or 0) - (span.start or 0) for window in windows for span in window) == len(text) - 4
    assert windows == [[span for window in windows for span in window]]


JSON_PIECE = st.sampled_from(['{"a": "b"}', "\n", "\n", "\r\n", "\r", " ", "\t", "\x0b", "é", "x" * 30, "\ufeff"])


@given(text=st.lists(JSON_PIECE, max_size=30).map("".join), most=st.sampled_from([1 << 20, 16]))
@example(text="\ufeff", most=1 << 20)  # a first line of no bytes
@settings(max_examples=400, deadline=None)
def test_spans_of_json_lines_are_where_the_rows_are(text: str, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE", most)
        try:
            rows, spans = (JsonlReader(LineReader(io.BytesIO(text.encode()), "in"), "in") for _ in range(2))
        except InputError:
            return
        assert [place(span) for span in spans.spans()] == [place(row) for row in rows]


def test_lines_may_be_taken_and_given_back_between_lines_that_are_passed() -> None:
    noise = random.Random(5)
    data = b"".join(b"line %d\n" % i for i in range(200))
    reader = LineReader(io.BytesIO(data), "in")
    found: list[tuple[int, int, int, bytes]] = []
    for passed in reader.scan():
        found.append(passed)
        ahead = [line for _ in range(noise.randrange(4)) if (line := reader.next())]
        kept = noise.randint(0, len(ahead))
        found += [(line.number, line.start, line.end, line.data) for line in ahead[:kept]]
        reader.take_back(ahead[kept:])
    assert b"".join(data for *_, data in found) == data
    assert [number for number, *_ in found] == list(range(1, 201))
    assert all(data[start:end] == each for _, start, end, each in found)
