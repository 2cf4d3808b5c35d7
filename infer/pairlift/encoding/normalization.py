"""Unicode normalisation forms D and C, of Unicode 16.0, under any supported Python.

Source: Unicode Standard Annex 15, "Unicode Normalization Forms", version 16.0.0, and the algorithms it refers to, in
section 3.11 of the Unicode Standard 16.0. Python's `unicodedata` has Unicode 14.0 (3.11), 15.0 (3.12) or 15.1 (3.13),
and ICU in tensorflow-text 2.21 has 16.0. The tables were found by putting every code point through
`tensorflow_text.normalize_utf8`, between marks of each combining class; a test repeats this.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

# Combining classes that are not 0, of marks that Python 3.11 (Unicode 14.0) does not know: first, last, class.
_CLASSES_ADDED = (
    (0x897, 0x897, 230), (0x10D69, 0x10D6D, 230), (0x10EFD, 0x10EFF, 220), (0x113CE, 0x113D0, 9), (0x11F41, 0x11F42, 9),
    (0x1612F, 0x1612F, 9), (0x1E08F, 0x1E08F, 230), (0x1E4EC, 0x1E4ED, 232), (0x1E4EE, 0x1E4EE, 220),
    (0x1E4EF, 0x1E4EF, 230), (0x1E5EE, 0x1E5EE, 230), (0x1E5EF, 0x1E5EF, 220),
)  # fmt: skip

# Canonical decompositions into two characters that Python 3.11 does not know. None is excluded from composition.
_PAIRS_ADDED = {
    0x105C9: "\U000105d2\u0307", 0x105E4: "\U000105da\u0307", 0x11383: "\U00011382\U000113c9",
    0x11385: "\U00011384\U000113bb", 0x1138E: "\U0001138b\U000113c2", 0x11391: "\U00011390\U000113c9",
    0x113C5: "\U000113c2\U000113c2", 0x113C7: "\U000113c2\U000113b8", 0x113C8: "\U000113c2\U000113c9",
    0x16121: "\U0001611e\U0001611e", 0x16122: "\U0001611e\U00016129", 0x16123: "\U0001611e\U0001611f",
    0x16124: "\U00016129\U0001611f", 0x16125: "\U0001611e\U00016120", 0x16126: "\U00016121\U0001611f",
    0x16127: "\U00016122\U0001611f", 0x16128: "\U00016121\U00016120", 0x16D68: "\U00016d67\U00016d67",
    0x16D69: "\U00016d63\U00016d67", 0x16D6A: "\U00016d69\U00016d67",
}  # fmt: skip

_CLASSES = {chr(code): rank for first, last, rank in _CLASSES_ADDED for code in range(first, last + 1)}
# Applied twice, because the first half of a pair may itself be a pair. There is no deeper nesting.
_DECOMPOSITIONS = {code: pair.translate(_PAIRS_ADDED) for code, pair in _PAIRS_ADDED.items()}
_COMPOSITIONS = {pair: chr(code) for code, pair in _PAIRS_ADDED.items()}

# Finds every character of the tables, and others for which the slower way does no harm: a class of two members is
# searched ten times as fast as an exact one.
_maybe_unknown = re.compile("[\u0897\U000105c9-\U0001e5ef]").search


def nfd(text: str) -> str:
    """Return a text in normalisation form D, as `tensorflow_text.normalize_utf8(text, "NFD")` gives it."""
    if text.isascii() or not _maybe_unknown(text):
        return unicodedata.normalize("NFD", text)
    return _decompose(text)


def nfc(text: str) -> str:
    """Return a text in normalisation form C, as `tensorflow_text.normalize_utf8(text, "NFC")` gives it."""
    if text.isascii() or not _maybe_unknown(text):
        return unicodedata.normalize("NFC", text)
    return _compose(_decompose(text))


def _combining_class(char: str) -> int:
    return _CLASSES.get(char) or unicodedata.combining(char)


def _decompose(text: str) -> str:
    # Python sorts the marks between those that it does not know. Sorting again is correct, as both sorts are stable.
    text = unicodedata.normalize("NFD", text.translate(_DECOMPOSITIONS))
    runs = groupby(text, lambda char: _combining_class(char) != 0)
    return "".join(["".join(sorted(run, key=_combining_class) if marks else run) for marks, run in runs])


def _compose(decomposed: str) -> str:
    composed: list[str] = []
    starter = -1  # where the last character of class 0 is in `composed`
    rank_before = 0
    for char in decomposed:
        rank = _combining_class(char)
        blocked = len(composed) > starter + 1 and rank_before >= rank
        if starter >= 0 and not blocked:
            pair = composed[starter] + char
            whole = _COMPOSITIONS.get(pair) or unicodedata.normalize("NFC", pair)
            if len(whole) == 1:
                composed[starter] = whole
                continue
        if rank == 0:
            starter = len(composed)
        composed.append(char)
        rank_before = rank
    return "".join(composed)
