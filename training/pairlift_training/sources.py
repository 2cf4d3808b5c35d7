"""Where labelled pairs come from: a file, TensorFlow Datasets, or the embedded grammar."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pairlift import formats
from pairlift.encoder import Pair, check_text
from pairlift.errors import RowError, UsageError
from pairlift.fields import Columns, find_columns
from pairlift_training import sample
from pairlift_training.cache import Cache
from pairlift_training.tfds import read_tfds

SPEC = re.compile(r"(?P<kind>tfds|sample):(?P<name>[\w/:.]+)(?:\[(?P<split>.+)\])?\Z")

Record = tuple[Pair, Any] | RowError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set that can be read.

    Attributes:
        name: For people, without the folders.
        names: The data set's own label names in order, where it has them.
        records: A pair in model order and its label as it was written, or what is wrong with the row.
    """

    name: str
    names: tuple[str, ...] | None
    records: Iterable[Record]


def open_source(
    name: str, fields: tuple[str, ...], columns: str | None, label: str | None, cache: Cache | None
) -> Source:
    """Open a file, `tfds:NAME[SPLIT]` or `sample:nli[SPLIT]`; arguments and errors as `read_data`."""
    spec = SPEC.match(name)
    if spec is None:
        if name.startswith(("tfds:", "sample:")):
            raise UsageError(f"{name}: expected tfds:NAME, tfds:NAME[SPLIT] or sample:nli[SPLIT]")
        return Source(name=Path(name).name, names=None, records=_read_file(name, fields, columns, label))
    split = spec["split"] or "train"
    if spec["kind"] == "sample":
        return Source(name=name, names=sample.LABELS, records=_read_sample(spec["name"], split, fields))
    found = read_tfds(spec["name"], split, fields, cache)
    return Source(name=name, names=found.names, records=found.rows)


def _read_file(name: str, fields: tuple[str, ...], columns: str | None, label: str | None) -> Iterator[Record]:
    wanted: Columns | None = None
    for row in formats.read_rows(name):
        if row.error is not None:
            yield row.error
            continue
        if wanted is None:
            wanted = _find_columns(row, name, fields, columns, label)
        try:
            first, second = (check_text(row.values.get(column), column) for column in wanted.texts.values())
        except RowError as error:
            yield error
            continue
        yield (first, second), row.values.get(wanted.label)


def _find_columns(
    row: formats.Row, name: str, fields: tuple[str, ...], columns: str | None, label: str | None
) -> Columns:
    found = tuple(row.values)
    wanted = find_columns(found, fields, name, columns, label)
    if wanted.label not in found:
        raise UsageError(
            f"{name}: no label column {wanted.label!r}; found {', '.join(found)}; say which it is with --label COLUMN"
        )
    return wanted


def _read_sample(name: str, split: str, fields: tuple[str, ...]) -> Iterator[Record]:
    if name != "nli" or split not in sample.SPLITS:
        raise UsageError(f"sample:{name}[{split}]: expected sample:nli, with the split {', '.join(sample.SPLITS)}")
    places = {"premise": 0, "hypothesis": 1}
    if set(fields) != set(places):
        raise UsageError(f"sample:{name}: has the fields premise and hypothesis, not {', '.join(fields)}")
    for row in sample.generate(split):
        yield (row[places[fields[0]]], row[places[fields[1]]]), row[2]
