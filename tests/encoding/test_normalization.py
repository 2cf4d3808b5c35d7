"""Normalisation and case folding are ICU's in tensorflow_text, for sequences that Python's Unicode is too old for."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from itertools import product

import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from pairlift.encoding import characters, normalization

pytestmark = pytest.mark.keras

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
LOWEST, HIGHEST = "\u0334", "\u0345"  # marks of the classes 1 and 240
KNOWN = [c for c in EVERY if unicodedata.combining(c)]
OF_EACH_CLASS = list({unicodedata.combining(c): c for c in KNOWN if unicodedata.normalize("NFD", c) == c}.values())
HANGUL = [
    "\u10ff\u1100\u1112\u1113",
    "\u1160\u1161\u1175\u1176",
    "\u11a7\u11a8\u11c2\u11c3",
    "\uac00\uac01\ud788\ud7a3",
]


def icu(texts: list[str], form: str) -> list[str]:
    """Return what ICU makes of the texts, all in one tensor."""
    tensor = tf.constant(texts)
    normal = tf_text.case_fold_utf8(tensor) if form == "fold" else tf_text.normalize_utf8(tensor, form)
    return [text.decode() for text in normal.numpy().tolist()]


def assert_equal(texts: list[str], forms: tuple[str, ...] = ("NFD", "NFC", "fold")) -> None:
    """Hold the normalisations of the texts to ICU's."""
    ours = {"NFD": normalization.nfd, "NFC": normalization.nfc, "fold": characters.case_fold}
    for form in forms:
        wrong = [ascii(t) for t, theirs in zip(texts, icu(texts, form), strict=True) if ours[form](t) != theirs]
        assert not wrong, f"{form}: {len(wrong)} of {len(texts)}, first {wrong[:5]}"


@cache
def unknown_composites() -> dict[str, str]:
    """Return the characters that ICU decomposes and Python does not, with their decompositions."""
    decomposed = zip(EVERY, icu(EVERY, "NFD"), strict=True)
    return {c: d for c, d in decomposed if d != c and unicodedata.normalize("NFD", c) == c}


@cache
def unknown_marks() -> list[str]:
    """Return the marks that ICU moves before one of class 1 or behind one of class 240, and Python does not."""
    rare = [c for c in EVERY if not unicodedata.combining(c) and unicodedata.normalize("NFD", c) == c]
    rare = [c for c in rare if c not in unknown_composites()]
    before = icu([f"a{c}{LOWEST}" for c in rare], "NFD")
    behind = icu([f"a{HIGHEST}{c}" for c in rare], "NFD")
    return [c for c, b, h in zip(rare, before, behind, strict=True) if b[1] == LOWEST or h[1] == c]


def parts() -> list[str]:
    """Return the composites that Python does not know and what they are made of."""
    return sorted({*unknown_composites(), *"".join(unknown_composites().values())})


def test_the_tables_hold_every_mark_and_composite_that_python_does_not_know() -> None:
    assert set(unknown_marks()) == {c for c in normalization._CLASSES if not unicodedata.combining(c)}
    assert set(unknown_composites()) == set(map(chr, normalization._DECOMPOSITIONS))


@pytest.mark.parametrize("form", ["NFD", "NFC", "fold"])
def test_every_code_point_between_marks_is_normalised_as_icu_does(form: str) -> None:
    assert_equal([f"a{HIGHEST}{c}{LOWEST}" for c in EVERY], (form,))


def test_marks_newer_than_python_are_ordered_as_icu_orders_them() -> None:
    new = unknown_marks()
    pairs = [*product(new, KNOWN), *product(KNOWN, new), *product(new, new)]
    assert_equal([base + "".join(pair) for base in ("a", parts()[0]) for pair in pairs])


def test_marks_that_python_knows_are_ordered_as_icu_orders_them() -> None:
    pairs = [*product(KNOWN, OF_EACH_CLASS), *product(OF_EACH_CLASS, KNOWN)]
    assert_equal([base + "".join(pair) for base in ("a", parts()[0]) for pair in pairs], ("NFD",))


def test_three_marks_newer_than_python_and_of_each_class_are_ordered_as_icu_orders_them() -> None:
    new, of_each = unknown_marks(), OF_EACH_CLASS
    triples = [*product(new, of_each, new), *product(of_each, new, new), *product(new, new, of_each)]
    assert_equal(["e" + "".join(triple) for triple in triples])


def test_parts_newer_than_python_are_composed_as_icu_composes_them() -> None:
    texts = ["".join(t) for n in (1, 2, 3) for t in product([*parts(), "a"], repeat=n)]
    assert_equal([*texts, *(text * 2 for text in texts)])


def test_marks_block_parts_newer_than_python_as_in_icu() -> None:
    between = [*unknown_marks(), *OF_EACH_CLASS, "\u200d", "\U000113b8"]
    assert_equal(["".join(t) for t in product(parts(), between, parts())])


@pytest.mark.parametrize("beside", ["", "\u0897", "\U00011383"], ids=ascii)
def test_hangul_is_composed_as_icu_composes_it(beside: str) -> None:
    """Beside a character newer than Python, it goes the longer way."""
    jamo = "".join(HANGUL)
    texts = ["".join(t) for n in (1, 2, 3, 4) for t in product(jamo, repeat=n) if n < 4 or t[0] in "\u1100\uac00"]
    assert_equal([beside + text for text in texts] + [text[0] + beside + text[1:] for text in texts])


def test_random_texts_are_normalised_as_icu_does() -> None:
    draw = random.Random(16)
    composites = [c for c in EVERY if unicodedata.normalize("NFD", c) != c and not "\uac00" <= c <= "\ud7a3"]
    added = [0x10D40, 0x10EC0, 0x11380, 0x11F00, 0x16100, 0x16D40]  # blocks with much that came after Unicode 14.0
    newer = [chr(code) for first in added for code in range(first, first + 80)]
    pools = [unknown_marks(), parts(), KNOWN, list("aeioAEO\u0307\u0323"), composites, "".join(HANGUL), newer, EVERY]
    weights = [5, 5, 4, 2, 2, 2, 2, 1]
    texts = [
        "".join(draw.choice(p) for p in draw.choices(pools, weights, k=draw.randint(1, 12))) for _ in range(50_000)
    ]
    assert_equal(texts)
