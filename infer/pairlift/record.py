"""Records: frozen dataclasses that are written as deterministic JSON, and read with a check of their types."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from pairlift.errors import RecordError

R = TypeVar("R")


def dump(record: object) -> bytes:
    """Return a record as JSON with indent 2, sorted keys and a final newline."""
    return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def load(kind: type[R], data: bytes, where: str) -> R:
    """Read a record written by `dump`.

    Args:
        kind: A dataclass with an integer field `format`, whose default is the newest format this version reads.
        data: The JSON text.
        where: The file's name, for messages.

    Raises:
        RecordError: The data is not JSON, has a newer format, a missing or unknown field, or a value of the wrong type.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"{where}: not valid JSON ({error}); expected a {kind.__name__} record") from None
    if not isinstance(value, dict):
        raise RecordError(f"{where}: found {_name(value)}, expected a JSON object ({kind.__name__} record)")
    newest: Any = next(f.default for f in dataclasses.fields(kind) if f.name == "format")  # type: ignore[arg-type]
    found = value.get("format")
    if type(found) is not int or found < 1:
        raise RecordError(f"{where}: format: found {found!r}, expected an integer from 1 to {newest}")
    if found > newest:
        wanted = (
            value.get("versions", {}).get("pairlift", "a newer version")
            if isinstance(value.get("versions"), dict)
            else "a newer version"
        )
        raise RecordError(
            f"{where}: written in format {found}, this version reads up to {newest}; "
            f"install pairlift {wanted} or newer: pip install --upgrade pairlift"
        )
    built: R = _build(kind, value, where)
    return built


def _build(hint: Any, value: Any, where: str) -> Any:
    kind, origin, arguments = _shape(hint)
    if kind is not None:
        return _build_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        items = _expect(list, value, where)
        if arguments[0] is str and all(type(item) is str for item in items):
            return tuple(items)  # faster for a vocabulary of tens of thousands of strings
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin in (Mapping, dict):
        members = _expect(dict, value, where)
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in members.items()}
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value)
    return _expect(hint, value, where)


@functools.cache
def _shape(hint: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return a type hint's dataclass (None if it is not one), its origin, and its arguments."""
    return hint if dataclasses.is_dataclass(hint) else None, typing.get_origin(hint), typing.get_args(hint)


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the type of each field of a dataclass, and the names of the required fields."""
    required = frozenset(
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}, required


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    members = _expect(dict, value, where)
    hints, required = _fields(kind)
    if not members.keys() <= hints.keys():
        raise RecordError(f"{where}: unknown field {min(members.keys() - hints.keys())!r}; expected {', '.join(hints)}")
    if not members.keys() >= required:
        raise RecordError(f"{where}: missing field {', '.join(sorted(required - members.keys()))}")
    return kind(**{name: _build(hints[name], item, f"{where}: {name}") for name, item in members.items()})


def _expect(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise RecordError(f"{where}: found {_name(value)}, expected {kind.__name__}")
    return value


def _name(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
