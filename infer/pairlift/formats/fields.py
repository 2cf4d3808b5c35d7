"""Fields: which columns of a file are the two texts of a pair."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

from pairlift.errors import UsageError

SNLI_COLUMNS = {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold_label"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelledColumns:
    """The columns in which a file keeps its pairs.

    Attributes:
        texts: The column of each field, in the bundle's order.
        label: The column of the label. The file may lack it.
    """

    texts: Mapping[str, str]
    label: str


def parse_list(text: str, what: str) -> tuple[str, ...]:
    """Return the names of a comma-separated option.

    Raises:
        UsageError: A name is empty or repeated, or the option is not UTF-8.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not text.isascii() and text.encode(errors="replace").decode() != text:
        raise UsageError(f"{what} {text!r}: expected UTF-8")
    if "" in names or len(set(names)) != len(names):
        raise UsageError(f"{what} {text!r}: expected different names, separated by commas")
    return names


def map_fields(option: str | None, fields: tuple[str, ...]) -> dict[str, str]:
    """Return the column of each of the bundle's fields, in the bundle's order.

    Args:
        option: `field=column,field=column`, or two columns in model order. None if the columns have the fields' names.
        fields: The bundle's fields.

    Raises:
        UsageError: The option has another form, or names another field.
    """
    if option is None:
        return {field: field for field in fields}
    names = parse_list(option, "--fields")
    if any("=" in name for name in names):
        given = {name.partition("=")[0]: name.partition("=")[2] or name for name in names}
        if sorted(given) != sorted(fields) or any(name.endswith("=") for name in names):
            raise UsageError(f"--fields {option}: expected {','.join(f'{f}=COLUMN' for f in fields)}")
        return {field: given[field] for field in fields}
    if len(names) != len(fields):
        raise UsageError(f"--fields {option}: found {len(names)} columns, expected {len(fields)}: {', '.join(fields)}")
    return dict(zip(fields, names, strict=True))


def find_columns(
    found: Sequence[str], fields: tuple[str, ...], source: str, option: str | None = None, label: str | None = None
) -> LabelledColumns:
    """Return the columns in which a labelled file keeps its pairs. SNLI's own files are recognised.

    Args:
        found: The file's columns.
        fields: The fields of a pair, in model order.
        source: The file, for the message.
        option: The option `--fields`, as for `map_fields`.
        label: The column of the label; None for `label`, or SNLI's `gold_label`.

    Raises:
        UsageError: The file lacks a column of the texts.
    """
    snli = option is None and set(SNLI_COLUMNS.values()) <= set(found) and set(fields) <= set(SNLI_COLUMNS)
    texts = {f: SNLI_COLUMNS[f] for f in fields} if snli else map_fields(option, fields)
    check_columns(found, texts, source)
    return LabelledColumns(texts=texts, label=label or (SNLI_COLUMNS["label"] if snli else "label"))


def check_columns(columns: Sequence[str], wanted: Mapping[str, str], source: str) -> None:
    """Check that a file has all columns that are needed.

    Raises:
        UsageError: A column is missing. The message lists the columns found, and suggests the nearest name.
    """
    missing = [column for column in wanted.values() if column not in columns]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0], list(columns), 1)
    snli = {f: SNLI_COLUMNS.get(f, "") for f in wanted}
    if all(name in columns for name in snli.values()):
        hint = "; for SNLI's own files add --fields " + ",".join(f"{f}={c}" for f, c in snli.items())
    else:
        hint = f"; did you mean {near[0]!r}?" if near else "."
        hint += " Say which columns hold the texts with --fields " + ",".join(f"{field}=COLUMN" for field in wanted)
    raise UsageError(f"{source}: no column {missing[0]!r}; found {', '.join(columns) or 'none'}{hint}")
