"""Pairs: finds the two texts in what a caller passes as a pair."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pairlift.encoding.encoder import Pair, check_field
from pairlift.errors import RowError


def check_pair(pair: Any, names: Iterable[str], check: Callable[[object, str], str] = check_field) -> Pair:
    """Return the two texts of a pair.

    Args:
        pair: A mapping, a row or an object with both names; or two texts in the order of the names.
        names: The names of the first and of the second text.
        check: The check for each text: `check_field`, or `check_text`, which accepts NUL.

    Raises:
        RowError: It is not a pair (`not_a_pair`), it is a mapping that lacks one of the names (`missing_field`), or one
            of its texts cannot be scored.
    """
    first, second = names
    texts = _take_texts(pair, first, second)
    return check(texts[0], first), check(texts[1], second)


def _take_texts(pair: Any, first: str, second: str) -> tuple[Any, Any]:
    if type(pair) is dict or isinstance(pair, Mapping):  # the first test is faster
        if first in pair and second in pair:
            return pair[first], pair[second]
        raise RowError("missing_field", f"no key {second if first in pair else first!r}")
    found = type(pair).__name__
    if not isinstance(pair, str | bytes | bytearray):  # these are sequences too
        if type(pair) not in (tuple, list):
            for take in (operator.getitem, getattr):  # rows of databases and tables; named tuples and other objects
                with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
                    return take(pair, first), take(pair, second)
        if hasattr(pair, "__getitem__") and hasattr(pair, "__len__"):  # a set has no order
            if len(pair) == 2:
                one, two = pair
                return one, two
            found += f" of {len(pair)}"
    raise RowError("not_a_pair", f"found {found}, expected two texts, or an object with {first} and {second}")
