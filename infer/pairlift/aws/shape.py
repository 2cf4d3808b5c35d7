"""Shapes: checks the types of the values in an event, and names what was found instead."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeVar

import orjson

from pairlift.errors import UsageError

T = TypeVar("T", str, bool, dict[str, Any], list[Any])

QUOTED = 200  # characters of an event that a message shows
NAMES = {str: "a string", bool: "true or false", dict: "an object", list: "a list"}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_shown = reprlib.Repr()
_shown.maxdict = _shown.maxlist = 6
_shown.maxstring = _shown.maxother = 100


def quote(value: object) -> str:
    """Return a value as text for a message: one line of at most 200 characters."""
    return "null" if value is None else _shown.repr(value)[:QUOTED]


def name_keys(value: Mapping[str, Any]) -> str:
    """Return the keys of an object, for a message."""
    return (", ".join(map(repr, value)) or "no key")[:QUOTED]


def member(value: Mapping[str, Any], name: str, kind: type[T], where: str) -> T:
    """Return a member of an object.

    Raises:
        UsageError: The member is missing, or has another type.
    """
    if name not in value:
        raise UsageError(f"{where}: found {name_keys(value)}, expected {name!r} with {NAMES[kind]}")
    found: T = expect(value[name], kind, f"{where}.{name}")
    return found


def expect(value: object, kind: type[T], where: str) -> T:
    """Return a value if it has the expected type.

    Raises:
        UsageError: It has another type.
    """
    if type(value) is not kind:
        raise UsageError(f"{where}: found {quote(value)}, expected {NAMES[kind]}")
    return value


def check_keys(value: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise a `UsageError` if an object has an unknown key."""
    unknown = [name for name in value if name not in known]
    if unknown:
        raise UsageError(f"{where}: unknown key {quote(unknown[0])}; expected {', '.join(known)}")


def read_json(text: str, where: str) -> Any:
    """Read JSON; a lone surrogate is kept, so that only the value that contains it is refused.

    Raises:
        UsageError: It is not valid JSON, or contains NaN or infinity.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _SURROGATE.search(text):
            raise UsageError(f"{where}: not valid JSON ({error})") from None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not valid JSON ({error})") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed")
