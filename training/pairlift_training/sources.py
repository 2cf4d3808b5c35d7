"""Where labelled pairs come from: a file, TensorFlow Datasets, or the embedded grammar."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from pairlift.errors import UsageError
from pairlift.inputs.labelled import Labelled, Record, collect, read_labelled
from pairlift_training import sample
from pairlift_training.cache import Cache
from pairlift_training.tfds import read_tfds

SPEC = re.compile(r"(?P<kind>tfds|sample):(?P<name>[\w/:.]+)(?:\[(?P<split>.+)\])?\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set that was read.

    Attributes:
        name: Its name for display, without the folders.
        names: The data set's own label names in order, if it has them.
        rows: Its pairs.
    """

    name: str
    names: tuple[str, ...] | None
    rows: Labelled


def read_source(
    name: str, fields: tuple[str, ...], columns: str | None, label: str | None, cache: Cache | None
) -> DataSource:
    """Read a file, `tfds:NAME[SPLIT]` or `sample:nli[SPLIT]`; arguments and errors as `read_data`."""
    spec = SPEC.match(name)
    if spec is None:
        if name.startswith(("tfds:", "sample:")):
            raise UsageError(f"{name}: expected tfds:NAME, tfds:NAME[SPLIT] or sample:nli[SPLIT]")
        return DataSource(name=Path(name).name, names=None, rows=read_labelled(name, fields, columns, label))
    split = spec["split"] or "train"
    if spec["kind"] == "sample":
        return DataSource(
            name=name, names=sample.LABELS, rows=collect(_read_sample(spec["name"], split, fields), sample.LABELS)
        )
    found = read_tfds(spec["name"], split, fields, cache)
    return DataSource(name=name, names=found.names, rows=collect(found.rows, found.names))


def _read_sample(name: str, split: str, fields: tuple[str, ...]) -> Iterator[Record]:
    if name != "nli" or split not in sample.SPLITS:
        raise UsageError(f"sample:{name}[{split}]: expected sample:nli, with the split {', '.join(sample.SPLITS)}")
    places = {"premise": 0, "hypothesis": 1}
    if set(fields) != set(places):
        raise UsageError(f"sample:{name}: has the fields premise and hypothesis, not {', '.join(fields)}")
    for row in sample.generate(split):
        yield (row[places[fields[0]]], row[places[fields[1]]]), row[2]
