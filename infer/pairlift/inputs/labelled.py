"""Labelled pairs for training, evaluation and the export's proof, and a count of the rows that are left out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pairlift import formats
from pairlift.encoding.encoder import Pair, check_text
from pairlift.errors import InputError, RowError, UsageError
from pairlift.formats.fields import LabelledColumns, find_columns

NO_LABEL = ("", "-", "-1", "none", "null")

# A pair in model order and its label as it was written, or what is wrong with the row.
Record = tuple[Pair, Any] | RowError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The pairs of a data set, in its order.

    Attributes:
        pairs: Texts in model order.
        labels: Each pair's label as text, or None if it has none.
        left_out: Rows that hold no pair, by reason.
    """

    pairs: list[Pair]
    labels: list[str | None]
    left_out: dict[str, int]


def read_labelled(
    path: str, fields: tuple[str, ...], columns: str | None = None, label: str | None = None, optional: bool = False
) -> Labelled:
    """Read a file of any format that the runner reads.

    Args:
        path: A path, `s3://bucket/key`, or `-`.
        fields: The fields of a pair in model order.
        columns: The option `--fields`. SNLI's own columns are found without it.
        label: The label's column; None for `label`, or SNLI's `gold_label`.
        optional: Whether the file may lack a label column, if `label` is None.

    Raises:
        InputError: The file cannot be read.
        UsageError: A column is missing.
    """
    return collect(_read_records(path, fields, columns, label, optional), None)


def collect(records: Iterable[Record], names: tuple[str, ...] | None) -> Labelled:
    """Return the pairs of records with their labels as text, and count the rows that hold none.

    Args:
        records: The records, in order.
        names: The data set's own label names, if it has any.
    """
    pairs: list[Pair] = []
    labels: list[str | None] = []
    left_out: Counter[str] = Counter()
    for record in records:
        if isinstance(record, RowError):
            left_out[record.reason] += 1
            continue
        pairs.append(record[0])
        labels.append(label_text(record[1], names))
    return Labelled(pairs=pairs, labels=labels, left_out=dict(sorted(left_out.items())))


def label_text(label: Any, names: tuple[str, ...] | None) -> str | None:
    """Return a row's label as text, or None if it has none.

    Args:
        label: The label as it was read. An integer is an index into `names`, if the data set has them.
        names: The data set's own label names, or None.
    """
    if isinstance(label, int) and not isinstance(label, bool) and names is not None:
        return names[label] if 0 <= label < len(names) else None
    text = "" if label is None else str(label).strip()
    return None if text.lower() in NO_LABEL else text


def check_labels(found: Sequence[str | None], labels: tuple[str, ...], source: str) -> None:
    """Check that the model has all labels that were found.

    Raises:
        InputError: A label is unknown. The message names the first one.
    """
    unknown = sorted({label for label in found if label is not None} - set(labels))
    if unknown:
        count = found.count(unknown[0])
        raise InputError(f"{source}: unknown label {unknown[0]!r} in {count} rows, expected one of {', '.join(labels)}")


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return how many rows were left out and why: `3 rows left out: bad_json 1, no_label 2`."""
    count = sum(left_out.values())
    reasons = ", ".join(f"{reason} {rows}" for reason, rows in left_out.items())
    return f"{count} row{'s' * (count != 1)} left out" + (f": {reasons}" if reasons else "")


def _read_records(
    path: str, fields: tuple[str, ...], columns: str | None, label: str | None, optional: bool
) -> Iterator[Record]:
    wanted: LabelledColumns | None = None
    for row in formats.read_rows(path):
        if row.error is not None:
            yield row.error
            continue
        if wanted is None:
            wanted = find_columns(tuple(row.values), fields, path, columns, label)
            if wanted.label not in row.values and not (optional and label is None):
                raise UsageError(
                    f"{path}: no label column {wanted.label!r}; found {', '.join(row.values)}; say which it is with --label COLUMN"
                )
        try:
            first, second = (check_text(row.values.get(column), column) for column in wanted.texts.values())
        except RowError as error:
            yield error
            continue
        yield (first, second), row.values.get(wanted.label)
