"""Values as JSON, and values in their original JSON text."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import orjson

from pairlift.errors import RowError

_BLANK = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


def dump_json(value: Any) -> str:
    """Return a value as JSON, integers of any size included.

    Raises:
        RowError: JSON cannot hold the value: NaN, infinity, a type without a text form, or nested too deep
            (`unwritable`).
    """
    try:
        if not _is_finite(value):
            raise RowError("unwritable", "NaN or infinity, which JSON does not have; write Parquet")
        return orjson.dumps(value, default=_spell).decode()
    except TypeError:  # an integer of more than 64 bits, or nested too deep
        try:
            return json.dumps(value, default=_spell, ensure_ascii=False, separators=(",", ":"))
        except (RecursionError, TypeError, ValueError) as error:
            raise RowError("unwritable", f"a value that JSON cannot hold: {error}") from None
    except RecursionError:
        raise RowError("unwritable", "a value that JSON cannot hold: nested too deep") from None


def _spell(value: Any) -> Any:
    """Return the replacement for a value that JSON has no type for."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal | datetime.timedelta | uuid.UUID):
        return str(value)
    raise TypeError(str(value))


def show_json(value: Any) -> str:
    """Return a value as JSON for people to read. A value that JSON cannot hold becomes text or null."""
    try:
        return orjson.dumps(value, default=_show).decode()
    except TypeError:
        try:
            return json.dumps(value, default=_show)
        except (RecursionError, TypeError, ValueError):
            return json.dumps(str(value))


def _show(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def read_members(text: str) -> Mapping[str, str | None]:
    """Return the members of a JSON object: strings decoded, null as None, everything else as its original text.

    Args:
        text: An object that has already been parsed, so it is known to be valid.

    Raises:
        RowError: The object is nested too deep (`unwritable`).
    """
    members: dict[str, str | None] = {}
    place = _skip(text, text.index("{") + 1)
    try:
        while text[place] != "}":
            name, place = scanstring(text, place + 1)
            place = _skip(text, _skip(text, place) + 1)  # the colon
            value, end = _decode(text, place)
            members[name] = value if value is None or isinstance(value, str) else text[place:end]
            place = _skip(text, end)
            if text[place] == ",":
                place = _skip(text, place + 1)
    except RecursionError:
        raise RowError("unwritable", "a value that JSON cannot hold: nested too deep") from None
    return members


def _skip(text: str, place: int) -> int:
    while text[place] in _BLANK:
        place += 1
    return place


def _is_finite(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(map(_is_finite, value.values()))
    return kind not in (list, tuple) or all(map(_is_finite, value))
