"""Records are deterministic JSON, and what is wrong with one is said by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from pairlift import record
from pairlift.errors import RecordError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    name: str
    share: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    format: int = 2
    items: tuple[Inner, ...]
    counts: Mapping[str, int]
    note: str | None = None


OUTER = Outer(items=(Inner(name="b", share=0.5),), counts={"z": 1, "a": 2})


def test_a_record_comes_back_as_it_was() -> None:
    assert record.load(Outer, record.dump(OUTER), "f") == OUTER


def test_keys_are_sorted_and_the_last_line_ends() -> None:
    text = record.dump(OUTER).decode()
    assert text.index('"a": 2') < text.index('"z": 1')
    assert text.endswith("}\n")


def test_an_older_format_is_read() -> None:
    assert record.load(Outer, b'{"format": 1, "items": [], "counts": {}}', "f").format == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "f: not valid JSON"),
        (b"[]", "f: found list '[]', expected a JSON object"),
        (b"{}", "f: format: found None, expected an integer from 1 to 2"),
        (b'{"format": true}', "f: format: found True"),
        (b'{"format": 3, "versions": {"pairlift": "9.1"}}', "install pairlift 9.1 or newer"),
        (b'{"format": 2}', "f: missing field counts, items"),
        (b'{"format": 2, "items": [], "counts": {}, "more": 1}', "f: unknown field 'more'"),
        (b'{"format": 2, "items": {}, "counts": {}}', "f: items: found dict '{}', expected list"),
        (b'{"format": 2, "items": [], "counts": {"a": "b"}}', "f: counts.a: found str 'b', expected int"),
        (b'{"format": 2, "items": [{"name": 1, "share": 1}], "counts": {}}', "f: items[0]: name: found int '1'"),
    ],
)
def test_a_bad_record_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        record.load(Outer, data, "f")
    assert message in str(caught.value)
