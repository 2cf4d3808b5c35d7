"""Labelled pairs: joins several data sets into one, and splits off a part for validation."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence

from pairlift.encoding.encoder import Pair
from pairlift.errors import InputError
from pairlift.inputs.labelled import check_labels, describe_left_out
from pairlift_training.cache import Cache
from pairlift_training.labels import order_labels
from pairlift_training.run import DataUse, LabelledPair
from pairlift_training.sources import DataSource, read_source


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A data set in model order.

    Attributes:
        source: Its name, for display.
        pairs: Texts, first segment and second.
        labels: Each row's label, as it was written.
        names: The data set's own label names in order, if it has them.
        filtered: Rows left out, by reason.
    """

    source: str
    pairs: list[Pair]
    labels: list[str]
    names: tuple[str, ...] | None
    filtered: dict[str, int]

    def describe(self) -> DataUse:
        """Return the record of how the data set was used."""
        digest = hashlib.sha256()
        for (first, second), label in zip(self.pairs, self.labels, strict=True):
            digest.update("\x1f".join((first, second, label)).encode() + b"\x1e")
        return DataUse(source=self.source, sha256=digest.hexdigest(), rows=len(self.pairs), filtered=self.filtered)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The data of a training, and the label names in the order of the head's outputs."""

    labels: tuple[str, ...]
    train: Rows
    validation: Rows
    test: Rows | None


def read_data(
    data: str | Sequence[str],
    fields: tuple[str, ...],
    columns: str | None = None,
    label: str | None = None,
    cache: Cache | None = None,
) -> Rows:
    """Read labelled pairs.

    Args:
        data: A file, `tfds:NAME[SPLIT]` or `sample:nli[SPLIT]`, or several of them, which are joined in their order.
        fields: The fields of a pair in model order.
        columns: As the option `--fields`; SNLI's own columns are found without it.
        label: The label's column; by default `label`, or SNLI's `gold_label`.
        cache: Where the rows of TensorFlow Datasets are kept.

    Raises:
        InputError: The data cannot be read, or has no labelled row.
        UsageError: A column is missing, or the name is not understood.
    """
    named = [data] if isinstance(data, str) else data
    return _join([_keep_labelled(name, read_source(name, fields, columns, label, cache)) for name in named])


def read_parts(
    train: Sequence[str],
    validation: Sequence[str],
    test: Sequence[str],
    share: float,
    labels: tuple[str, ...] | None,
    fields: tuple[str, ...],
    columns: str | None = None,
    label: str | None = None,
    cache: Cache | None = None,
) -> Parts:
    """Read the training, validation and test data; other arguments and errors as `read_data`.

    Only this function decides the order of the labels.

    Args:
        train: Data sets.
        validation: Data sets. If there are none, a share of the training data is split off; none of its premises is
            trained on.
        test: Data sets, or none.
        share: The share to split off.
        labels: The label names in order, or None to derive them from the data.
    """

    def read(named: Sequence[str]) -> Rows:
        return read_data(named, fields, columns, label, cache)

    rows = read(train)
    names = order_labels(rows.labels, rows.source, rows.names, labels)
    if validation:
        kept, held = rows, read(validation)
    else:
        kept, held = split_rows(rows, fields.index("premise"), share)
        if not held.pairs or not kept.pairs:
            raise InputError(
                f"{rows.source}: {len(rows.pairs)} rows are too few to hold {share:.0%} out; give --validation"
            )
    last = read(test) if test else None
    for part in (rows, held, last):
        if part is not None:
            check_labels(part.labels, names, part.source)
    return Parts(labels=names, train=kept, validation=held, test=last)


def _join(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    names = {part.names for part in parts}
    filtered = sum((Counter(part.filtered) for part in parts), Counter[str]())
    return Rows(
        source=" + ".join(part.source for part in parts),
        pairs=[pair for part in parts for pair in part.pairs],
        labels=[label for part in parts for label in part.labels],
        names=names.pop() if len(names) == 1 else None,
        filtered=dict(sorted(filtered.items())),
    )


def _keep_labelled(name: str, source: DataSource) -> Rows:
    found = source.rows
    kept = [(pair, label) for pair, label in zip(found.pairs, found.labels, strict=True) if label is not None]
    filtered = dict(sorted((Counter(found.left_out) + Counter(no_label=len(found.pairs) - len(kept))).items()))
    if not kept:
        raise InputError(f"{name}: no labelled row ({describe_left_out(filtered)})")
    return Rows(
        source=source.name,
        pairs=[pair for pair, _ in kept],
        labels=[label for _, label in kept],
        names=source.names,
        filtered=filtered,
    )


def split_rows(rows: Rows, place: int, share: float) -> tuple[Rows, Rows]:
    """Split off a share by the hash of one text, so that rows with the same text are on the same side.

    Args:
        rows: The data.
        place: Which text of a pair is hashed: 0 or 1.
        share: The share of the rows in the second part.
    """
    bound = int(share * 2**32)
    second = [int.from_bytes(hashlib.sha256(p[place].encode()).digest()[:4]) < bound for p in rows.pairs]
    return _select(rows, [not s for s in second]), _select(rows, second)


def hold_out(rows: Rows, count: int) -> tuple[LabelledPair, ...]:
    """Return at most `count` rows, evenly spaced."""
    step = max(1, len(rows.pairs) // count)
    chosen = list(range(0, len(rows.pairs), step))[:count]
    return tuple(LabelledPair(first=rows.pairs[i][0], second=rows.pairs[i][1], label=rows.labels[i]) for i in chosen)


def _select(rows: Rows, keep: list[bool]) -> Rows:
    return dataclasses.replace(
        rows,
        pairs=[p for p, k in zip(rows.pairs, keep, strict=True) if k],
        labels=[label for label, k in zip(rows.labels, keep, strict=True) if k],
    )
