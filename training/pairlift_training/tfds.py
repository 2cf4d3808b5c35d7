"""TensorFlow Datasets, read in a separate process, so that the training process never imports TensorFlow.

The import costs seconds and memory, and on a GPU TensorFlow takes all of the card's memory for itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from pairlift.encoding.encoder import Pair
from pairlift.errors import InputError, UsageError, missing_extra
from pairlift.jobs.child import ChildError, run_child, serve_parent
from pairlift_training.cache import Cache

ROWS = "rows.jsonl"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A data set's label names in order, and its rows: a pair in model order and the label's index (negative: none)."""

    names: tuple[str, ...]
    rows: Iterator[tuple[Pair, int]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request to the reader: a split of a data set, the features of its two texts, and the file for its rows."""

    format: int = 1
    name: str
    split: str
    fields: tuple[str, ...]
    output: str


def read_tfds(name: str, split: str, fields: tuple[str, ...], cache: Cache | None) -> Found:
    """Read a split, from the cache if it is there.

    Args:
        name: The builder's name, with configuration and version if wanted.
        split: A split or slice in the notation of TensorFlow Datasets.
        fields: The features of the two texts in model order.
        cache: The cache for the rows, or None.

    Raises:
        UsageError: TensorFlow Datasets is not installed, or a feature is missing.
        InputError: The data set cannot be loaded.
    """

    def fill(folder: Path) -> None:
        _run_reader(Wanted(name=name, split=split, fields=fields, output=str(folder / ROWS)))

    key = _identify(name, split, fields)
    entry = cache.entry("tfds", key, fill) if cache is not None and key is not None else None
    if entry is not None:
        return _parse((entry / ROWS).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))
        return _parse((Path(folder) / ROWS).read_bytes())


def load(name: str, split: str, fields: tuple[str, ...]) -> Found:
    """Read a split with TensorFlow Datasets, in this process; arguments and errors as `read_tfds`."""
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError:
        raise missing_extra(f"tfds:{name}", "tfds") from None
    try:
        data, info = tfds.load(name, split=split, with_info=True)
    except Exception as error:
        raise InputError(
            f"tfds:{name}[{split}]: TensorFlow Datasets cannot load it: {str(error).strip().splitlines()[0]}"
        ) from error
    missing = [f for f in (*fields, "label") if f not in info.features]
    if missing:
        raise UsageError(f"tfds:{name}: no feature {missing[0]!r}; found {', '.join(info.features)}")

    def rows() -> Iterator[tuple[Pair, int]]:
        for row in tfds.as_numpy(data):
            texts = [row[field].decode("utf-8") for field in fields]
            yield (texts[0], texts[1]), int(row["label"])

    return Found(names=tuple(info.features["label"].names), rows=rows())


def _identify(name: str, split: str, fields: tuple[str, ...]) -> str | None:
    """Return the digest of the request and of the prepared data's description, or None if the data is not prepared."""
    root = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    prepared = sorted((root / name.partition(":")[0]).glob("*/dataset_info.json"))
    if not prepared:
        return None
    digest = hashlib.sha256("\n".join((name, split, *fields)).encode())
    for file in prepared:
        digest.update(file.parent.name.encode() + b"\n" + file.read_bytes())
    return digest.hexdigest()


def _run_reader(wanted: Wanted) -> None:
    try:
        run_child("pairlift_training.tfds", wanted, f"tfds:{wanted.name}[{wanted.split}]: the reader", QUIET)
    except ChildError as error:
        raise InputError(str(error)) from error


def _parse(data: bytes) -> Found:
    head, *lines = data.splitlines()

    def rows() -> Iterator[tuple[Pair, int]]:
        for line in lines:
            first, second, label = orjson.loads(line)
            yield (first, second), label

    return Found(names=tuple(orjson.loads(head)), rows=rows())


def _write_rows(wanted: Wanted) -> str:
    found: Any = load(wanted.name, wanted.split, wanted.fields)
    with Path(wanted.output).open("wb") as file:
        file.write(orjson.dumps(found.names) + b"\n")
        for (first, second), label in found.rows:
            file.write(orjson.dumps((first, second, label)) + b"\n")
    return ""


if __name__ == "__main__":
    sys.exit(serve_parent(Wanted, _write_rows))
