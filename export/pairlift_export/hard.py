"""Hard texts: what tokenizers disagree about, paired with one another for every export's proof."""

from __future__ import annotations

import itertools

from pairlift_training.run import LabelledPair

HARD_TEXTS = (
    "", " ", "a", "  leading and trailing  ", "two  spaces", "tab\there", "line\nbreak", "\n\nhi", "carriage\r\nreturn",
    "1,000.50 dollars", "It's 5 o'clock; isn't it?", "I'LL go, THEY'VE gone, can'T", "don\u2019t", "\u201cquoted\u201d \u2013 dash \u2014 em",
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9", "cafe\u0301 naive\u0308", "Stra\u00dfe GROSS gro\u00df", "\ufb01nd \ufb02ow", "\u0130stanbul \u0131l\u0131k",
    "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u039f\u0394\u039f\u03a3", "\uff26\uff35\uff2c\uff2c \uff57\uff49\uff44\uff54\uff48 \uff11\uff12\uff13", "\u4e2d\u6587\u53e5\u5b50", "\u65e5\u672c\u8a9e\u306e\u6587", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\U00020000\U0002a6d6 \u3400 \uf900", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0646\u0635", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0935\u093e\u0915\u094d\u092f", "\u05e2\u05d1\u05e8\u05d9\u05ea",
    "\U0001f600 \U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", "zero\u200bwidth \u200djoin", "soft\u00adhyphen", "nbsp\u00a0inside",
    "thin\u2009space \u202f narrow \u3000 wide", "line\u2028separator", "bom\ufeffinside", "control\x01char \x7f del", "nul\x00ends it",
    "[CLS] a [SEP] b [PAD] [MASK] [UNK]", "<s> a </s> b <pad> <mask>", "##ing un##able", "x" * 99, "x" * 100, "x" * 101,
    "\u00e9" * 50, "\u00e9" * 51, "\u096c digit six \u096c", "$100 ^ ` ~ a|b <tag> {x}", "e-mail@example.org https://example.org/?q=1",
    "a.b,c;d:e!f?g", "...", "\u2026", "\u0915\u094d\u0937", "\u1100\u1161\u11a8", "A" * 30 + " " + "b " * 40, "word " * 300,
)  # fmt: skip


def hard_pairs() -> tuple[LabelledPair, ...]:
    """Return the hard texts as pairs: each with a plain text on either side, and with the next one."""
    plain = "A man is playing a guitar on the street."
    pairs = [_pair(text, plain) for text in HARD_TEXTS]
    pairs += [_pair(plain, text) for text in HARD_TEXTS]
    pairs += [_pair(a, b) for a, b in itertools.pairwise(HARD_TEXTS)]
    return tuple(pairs)


def _pair(first: str, second: str) -> LabelledPair:
    return LabelledPair(first=first, second=second, label=None)
