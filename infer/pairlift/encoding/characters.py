"""Character classes and mappings as in TensorFlow's string operations.

KerasHub's graph path asks RE2 (Unicode 15.0 in tensorflow 2.21) for character classes and ICU (Unicode 16.0 in
tensorflow-text 2.21) for normalisation. Python's `unicodedata` is older (14.0 in Python 3.11, 15.1 in 3.13), so the
characters that came after 14.0 are listed here, and their data for the normalisation forms in `normalization`. The
lists were found by putting every code point through the TensorFlow operations and comparing; a test repeats this.
"""

from __future__ import annotations

import unicodedata

from pairlift.encoding import normalization

# Code points with these categories in Unicode 15.0 that are unassigned in 14.0.
_MARKS_ADDED = (
    (0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x11241, 0x11241), (0x11F00, 0x11F01), (0x11F36, 0x11F3A), (0x11F40, 0x11F40),
    (0x11F42, 0x11F42), (0x13440, 0x13440), (0x13447, 0x13455), (0x1E08F, 0x1E08F), (0x1E4EC, 0x1E4EF),
)  # fmt: skip
_PUNCTUATION_ADDED = ((0x11B00, 0x11B09), (0x11F43, 0x11F4F))
_FORMAT_ADDED = ((0x13439, 0x1343F),)
_LETTERS_ADDED = (
    (0x1123F, 0x11240), (0x11F02, 0x11F02), (0x11F04, 0x11F10), (0x11F12, 0x11F33), (0x1342F, 0x1342F),
    (0x13441, 0x13446), (0x1B132, 0x1B132), (0x1B155, 0x1B155), (0x1DF25, 0x1DF2A), (0x1E030, 0x1E06D),
    (0x1E4D0, 0x1E4EB), (0x2B739, 0x2B739), (0x31350, 0x323AF),
)  # fmt: skip
_NUMBERS_ADDED = ((0x11F50, 0x11F59), (0x1D2C0, 0x1D2D3), (0x1E4F0, 0x1E4F9))
# Letters of Unicode 15.1, which Python 3.13 knows and RE2 does not.
_LETTERS_TOO_NEW = ((0x2EBF0, 0x2EE5D),)

# Dropped by NFKC case folding: Default_Ignorable_Code_Point and the reserved code points that count as such.
_IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip

# NFKC case folding of what came after Unicode 14.0: runs (first, last, target of the first, the rest in order).
_FOLD_RUNS = (
    (0x1C89, 0x1C89, 0x1C8A), (0xA7CB, 0xA7CB, 0x264), (0xA7CC, 0xA7CC, 0xA7CD), (0xA7DA, 0xA7DA, 0xA7DB),
    (0xA7DC, 0xA7DC, 0x19B), (0x10D50, 0x10D65, 0x10D70), (0x1CCD6, 0x1CCEF, 0x61), (0x1CCF0, 0x1CCF9, 0x30),
)  # fmt: skip
# Cyrillic modifier letters U+1E030 to U+1E06D (Unicode 15.0), in order.
_FOLD_CYRILLIC_FIRST = 0x1E030
_FOLD_CYRILLIC = "абвгдежзиклмопрстуфхцчшыэюꚉәіјөүӏабвгдежзиклопсуфхцчшъыґіѕџҫꙑұ"

_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip

ASCII_SPACE = "\t\n\f\r "  # RE2's \s, which leaves out the vertical tab


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def is_cjk(char: str) -> bool:
    """Whether BERT makes a word of the character, according to the blocks that KerasHub lists."""
    return _within(ord(char), _CJK)


def is_mark(char: str) -> bool:
    """Whether RE2's `\\p{Mn}` matches."""
    return unicodedata.category(char) == "Mn" or _within(ord(char), _MARKS_ADDED)


def is_separator(char: str) -> bool:
    """Whether KerasHub's BERT splits at the character and drops it: ASCII white space, controls, format characters."""
    return char in ASCII_SPACE or unicodedata.category(char) in ("Cc", "Cf") or _within(ord(char), _FORMAT_ADDED)


def is_punctuation(char: str) -> bool:
    """Whether KerasHub's BERT makes a word of the character: ASCII except letters, digits and space, and `\\p{P}`."""
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char)[0] == "P" or _within(ord(char), _PUNCTUATION_ADDED)


def is_letter(char: str) -> bool:
    """Whether RE2's `\\p{L}` matches."""
    code = ord(char)
    if _within(code, _LETTERS_TOO_NEW):
        return False
    return unicodedata.category(char)[0] == "L" or _within(code, _LETTERS_ADDED)


def is_number(char: str) -> bool:
    """Whether RE2's `\\p{N}` matches."""
    return unicodedata.category(char)[0] == "N" or _within(ord(char), _NUMBERS_ADDED)


class CaseFold(dict[int, str]):
    """A table for `str.translate` that gives each character its NFKC_Casefold mapping (Unicode, UAX 31)."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _fold(code)
        return folded


def _fold(code: int) -> str:
    if _within(code, _IGNORABLE):
        return ""
    for first, last, target in _FOLD_RUNS:
        if first <= code <= last:
            return chr(target + code - first)
    if 0 <= code - _FOLD_CYRILLIC_FIRST < len(_FOLD_CYRILLIC):
        return _FOLD_CYRILLIC[code - _FOLD_CYRILLIC_FIRST]
    folded = unicodedata.normalize("NFKC", chr(code)).casefold()
    return unicodedata.normalize("NFKC", folded)


_FOLD = CaseFold()


def case_fold(text: str) -> str:
    """Return the NFKC case folding of a text, as `tensorflow_text.case_fold_utf8` gives it."""
    return normalization.nfc(text.translate(_FOLD))


def decompose(text: str) -> str:
    """Return a text in NFD, as `tensorflow_text.normalize_utf8(text, "NFD")` gives it."""
    return normalization.nfd(text)
