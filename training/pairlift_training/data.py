"""Labelled pairs: from a file, from TensorFlow Datasets, or from the embedded grammar."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pairlift import formats
from pairlift.encoder import Pair, check_text
from pairlift.errors import InputError, RowError, UsageError, missing_extra
from pairlift.fields import Columns, find_columns
from pairlift_training import sample
from pairlift_training.run import DataUse, LabelledPair

NLI_LABELS = ("entailment", "neutral", "contradiction")
NO_LABEL = ("", "-", "-1", "none", "null")
HELD_OUT_SHARE = 0.05
SPEC = re.compile(r"(?P<kind>tfds|sample):(?P<name>[\w/:.]+)(?:\[(?P<split>.+)\])?\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A data set in model order.

    Attributes:
        source: Its name, for people.
        pairs: Texts, first segment and second.
        labels: Each row's label, as it was written.
        names: The data set's own label names in order, where it has them.
        filtered: Rows left out, by reason.
    """

    source: str
    pairs: list[Pair]
    labels: list[str]
    names: tuple[str, ...] | None
    filtered: dict[str, int]

    def describe(self) -> DataUse:
        """Return what is recorded of it."""
        digest = hashlib.sha256()
        for (first, second), label in zip(self.pairs, self.labels, strict=True):
            digest.update("\x1f".join((first, second, label)).encode() + b"\x1e")
        return DataUse(source=self.source, sha256=digest.hexdigest(), rows=len(self.pairs), filtered=self.filtered)


def read_data(name: str, fields: tuple[str, ...], columns: str | None = None, label: str | None = None) -> Rows:
    """Read labelled pairs.

    Args:
        name: A file, `tfds:NAME[SPLIT]` or `sample:nli[SPLIT]`.
        fields: The fields of a pair in model order.
        columns: As the option `--fields`; SNLI's own columns are found without it.
        label: The label's column; by default `label`, or SNLI's `gold_label`.

    Raises:
        InputError: Not readable, or no labelled row in it.
        UsageError: A column is missing, or the name is not understood.
    """
    spec = SPEC.match(name)
    if spec is None:
        if name.startswith(("tfds:", "sample:")):
            raise UsageError(f"{name}: expected tfds:NAME, tfds:NAME[SPLIT] or sample:nli[SPLIT]")
        records: Iterable[tuple[Pair, Any] | RowError] = _read_file(name, fields, columns, label)
        rows = _filter(Path(name).name, records, None)
    elif spec["kind"] == "sample":
        rows = _filter(name, _read_sample(spec["name"], spec["split"] or "train", fields), NLI_LABELS)
    else:
        names, records = _read_tfds(spec["name"], spec["split"] or "train", fields)
        rows = _filter(name, records, names)
    if not rows.pairs:
        found = ", ".join(f"{count} {reason}" for reason, count in rows.filtered.items()) or "no rows"
        raise InputError(f"{name}: no labelled row ({found})")
    return rows


def order_labels(rows: Rows, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the label names in the order of the head's outputs: as given, the data set's own, NLI's, or sorted.

    Raises:
        InputError: Fewer than two labels.
        UsageError: A label that is not among those given.
    """
    found = set(rows.labels)
    if given is not None:
        check_labels(rows, given)
        return given
    if rows.names is not None:
        return rows.names
    if len(found) < 2:
        raise InputError(f"{rows.source}: found one label, {next(iter(found))!r}, expected two or more")
    return NLI_LABELS if found <= set(NLI_LABELS) else tuple(sorted(found))


def check_labels(rows: Rows, labels: tuple[str, ...]) -> None:
    """Refuse a label that the model does not have.

    Raises:
        InputError: With the first such label.
    """
    unknown = sorted(set(rows.labels) - set(labels))
    if unknown:
        count = sum(label == unknown[0] for label in rows.labels)
        raise InputError(
            f"{rows.source}: unknown label {unknown[0]!r} in {count} rows, expected one of {', '.join(labels)}"
        )


def split_rows(rows: Rows, place: int, share: float = HELD_OUT_SHARE) -> tuple[Rows, Rows]:
    """Split off a share by the hash of one text, so that it stands on one side only.

    Args:
        rows: The data.
        place: Which text of a pair decides: 0 or 1.
        share: The share of the second part.
    """
    bound = int(share * 2**32)
    second = [int.from_bytes(hashlib.sha256(p[place].encode()).digest()[:4]) < bound for p in rows.pairs]
    return _select(rows, [not s for s in second]), _select(rows, second)


def hold_out(rows: Rows, count: int) -> tuple[LabelledPair, ...]:
    """Return some rows, evenly spaced."""
    step = max(1, len(rows.pairs) // count)
    chosen = list(range(0, len(rows.pairs), step))[:count]
    return tuple(LabelledPair(first=rows.pairs[i][0], second=rows.pairs[i][1], label=rows.labels[i]) for i in chosen)


def _select(rows: Rows, keep: list[bool]) -> Rows:
    return dataclasses.replace(
        rows,
        pairs=[p for p, k in zip(rows.pairs, keep, strict=True) if k],
        labels=[label for label, k in zip(rows.labels, keep, strict=True) if k],
    )


def _filter(source: str, records: Iterable[tuple[Pair, Any] | RowError], names: tuple[str, ...] | None) -> Rows:
    pairs: list[Pair] = []
    labels: list[str] = []
    filtered: Counter[str] = Counter()
    for item in records:
        if isinstance(item, RowError):
            filtered[item.reason] += 1
            continue
        pair, label = item
        text = _label_text(label, names)
        if text.lower() in NO_LABEL:
            filtered["no_label"] += 1
            continue
        pairs.append(pair)
        labels.append(text)
    return Rows(source=source, pairs=pairs, labels=labels, names=names, filtered=dict(sorted(filtered.items())))


def _label_text(label: Any, names: tuple[str, ...] | None) -> str:
    if isinstance(label, int) and not isinstance(label, bool) and names is not None:
        return names[label] if 0 <= label < len(names) else ""
    return "" if label is None else str(label).strip()


def _read_file(
    name: str, fields: tuple[str, ...], columns: str | None, label: str | None
) -> Iterator[tuple[Pair, Any] | RowError]:
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


def _read_sample(name: str, split: str, fields: tuple[str, ...]) -> Iterator[tuple[Pair, Any]]:
    if name != "nli" or split not in sample.SPLITS:
        raise UsageError(f"sample:{name}[{split}]: expected sample:nli, with the split {', '.join(sample.SPLITS)}")
    order = _nli_order(fields, f"sample:{name}")
    for row in sample.generate(split):
        yield (row[order[0]], row[order[1]]), row[2]


def _nli_order(fields: tuple[str, ...], source: str) -> list[int]:
    places = {"premise": 0, "hypothesis": 1}
    if set(fields) != set(places):
        raise UsageError(f"{source}: has the fields premise and hypothesis, not {', '.join(fields)}")
    return [places[field] for field in fields]


def _read_tfds(name: str, split: str, fields: tuple[str, ...]) -> tuple[tuple[str, ...], Iterator[tuple[Pair, Any]]]:
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

    def rows() -> Iterator[tuple[Pair, Any]]:
        for row in tfds.as_numpy(data):
            texts = [row[field].decode("utf-8") for field in fields]
            yield (texts[0], texts[1]), int(row["label"])

    return tuple(info.features["label"].names), rows()
