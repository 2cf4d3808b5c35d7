"""Hard texts: texts that tokenizers disagree about, paired with one another for every export's proof."""

from __future__ import annotations

import itertools

from pairlift_training.run import LabelledPair

PLAIN = "A man is playing a guitar on the street."

_SPACES = (
    "", " ", "   ", "a", " a", "a ", "  leading and trailing  ", "two  spaces", "three   spaces", "tab\there", "\tleading tab", "trailing tab\t",
    "line\nbreak", "\n\nhi", "hi\n\n", "a\n b", "a \nb", "carriage\r\nreturn", "lone\rreturn", "\r", "\n", "\t", " \t \n ", "form\ffeed", "vertical\vtab",
    "word\u00a0\u00a0word", "a \u00a0 b", "\u00a0", "ends in nbsp\u00a0", "\u00a0starts with nbsp", "a \u3000", "x \u00a0\u2009\u202f\u3000",
    "line\u2028separator", "paragraph\u2029separator", "next\x85line", "a\u2028", "\u2028\u2029",
    *(f"a{space}b" for space in "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"),
)  # fmt: skip
_NUMBERS = (
    "0", "007", "1,000.50 dollars", "1 000 000", "1.000.000,00", "12,345,678", "3.14159", "-5", "+5", "1e10", "0x1F", "50%", "\u20ac5", "$100", "\u00a35", "#1", "1/2",
    "\u00bd \u00bc \u2153", "x\u00b2 + y\u00b3", "H\u2082O", "\u2460\u2461 \u2474 \u2488", "\u2167 \u216b \u2178", "\u0661\u0662\u0663", "\u0967\u0968\u0969", "\u096c digit six \u096c", "\u096c", "a\u096c",
    "\u096cb", "\uff11\uff12\uff13", "\U0001d7d8\U0001d7d9", "12:30pm", "2001-02-03", "the 1st, 2nd and 3rd", "99bottles", "A4", "10\u00d710", "5'11\"",
)  # fmt: skip
_CONTRACTIONS = (
    *(f"x{ending}" for e in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") for ending in (e, e.upper(), e[:2] + e[2:].upper(), e.replace("'", "\u2019"))),
    "It's 5 o'clock; isn't it?", "I'LL go, THEY'VE gone, can'T", "don\u2019t", "'s", "''s", "' s", "'", "''", "'tis the season", "rock 'n' roll",
    "the dogs' bones", "y'all'd've", "O'Neill", "we'Re", "'d'd'd", "cannot", "1's", "\u00e9's", "\u4e2d's",
)  # fmt: skip
_PUNCTUATION = (
    "\u201cquoted\u201d \u2013 dash \u2014 em", "...", "\u2026", "e-mail@example.org https://example.org/?q=1", "a.b,c;d:e!f?g", "$100 ^ ` ~ a|b <tag> {x}",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "snake_case", "C++ C# F*", "a_b__c", "(parenthesis) [bracket] {brace}", "\u00ab guillemets \u00bb", "\u00bfqu\u00e9?", "\u00a1hola!",
    "\u3001\u3002\u300c\u300d", "\u060c \u061b \u061f", "\u0964 \u0965", "\u2020 \u2021 \u00a7 \u00b6", "\u00a9 \u00ae \u2122", "\u00b0 \u00b1 \u00d7 \u00f7", "\u2190 \u2192 \u21d2", "\u2200x\u2203y \u2211 \u222b \u221a", "\u2212 \u2010 \u2011 \u2012",
    "\uff0c\uff0e\uff01\uff1f", "\u02bc \u02bb \u00b4 `", "a\u00b7b", "a\u2027b", "\u203d", "\u2e18 \u2e2e", "\u20b9 \u20bd \u20bf", "^^ ``", "\u2030 \u2031",
)  # fmt: skip
_LATIN = (
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9", "cafe\u0301 naive\u0308", "\u00c5ngstr\u00f6m \u212b A\u030a", "Stra\u00dfe GROSS gro\u00df", "STRA\u1e9eE", "\ufb01nd \ufb02ow \ufb03 \ufb06", "\u0130stanbul \u0131l\u0131k", "I\u0307 i\u0307",
    "\u01c4 \u01c5 \u01c6 \u01f2", "\u0132 \u0133 \u0149", "\u017ft \u017f", "\u00b5 \u03bc", "\u00aa \u00ba", "\u00c6gir \u00d8re \u0141\u00f3d\u017a \u0110\u00e0 N\u1eb5ng", "\u1ec7 e\u0323\u0302 e\u0302\u0323 \u1eb9\u0302", "\u1e69 s\u0323\u0307 s\u0307\u0323",
    "z\u0361a\u0342\u0345", "a\u0300\u0301\u0302\u0303\u0304", "\u0301 starts with a mark", "ends with a mark\u0301", " \u0301 ", "\u0301", "a\u034fb", "\uff26\uff35\uff2c\uff2c \uff57\uff49\uff44\uff54\uff48", "\u24b6\u24d0 \U0001d400\U0001d41a \u2102 \u210c",
    "\u212a elvin \u2126hm", "\u0345 \u1fb3 \u1fbc", "na\u00efve NA\u00cfVE nai\u0308ve", "\u00c0\u00c9\u00ce\u00d5\u00dc", "\u0218\u021a \u0219\u021b", "h\u0325 r\u0325\u0304", "\u1d2c\u1d47 \u2071 \u207f",
)  # fmt: skip
_SCRIPTS = (
    "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u039f\u0394\u039f\u03a3", "\u03c2\u03c3\u03a3", "\u0390 \u03ca\u0301 \u1fd3", "\u1f80 \u1f88 \u1fb7 \u1ffc", "\u041f\u0440\u0438\u0432\u0435\u0442, \u041c\u0418\u0420", "\u0419 \u0418\u0306 \u0451 \u0435\u0308", "\u0524 \u0500 \u048a", "\u0535\u057e \u0587 \u054e", "\u10d0\u10d1 \u10a0 \u1c90 \u2d00", "\u13a0 \uab70 \u13f8",
    "\u4e2d\u6587\u53e5\u5b50", "\u4e2d a\u4e2d\u6587b", "\u65e5\u672c\u8a9e\u306e\u6587", "\u3072\u3089\u304c\u306a \u30ab\u30bf\u30ab\u30ca \uff76\uff9e \uff8a\uff9f", "\u304b\u3099 \u304c \u30cf\u309a", "\u3400 \U00020000\U0002a6d6", "\U0002a700 \U0002b740 \U0002b820 \U0002ceb0 \U00030000 \U00031350",
    "\uf900 \ufa0e \U0002f800", "\u2f00 \u2e80", "\u3007 \u3005 \u303b", "\u3131 \u3164 \uffa1", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\u1112\u1161\u11ab \u1100\u1161\u11a8", "\uac00\u11a8 \u1100\u1161", "\u3220 \u3299 \u33a5 \u337b", "\u3105\u3106 \u31a0",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0e01\u0e33 \u0e4d\u0e32", "\u0e9e\u0eb2\u0eaa\u0eb2\u0ea5\u0eb2\u0ea7", "\u1797\u17b6\u179f\u17b6 \u17b4\u17b5", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u0f56\u0f7c\u0f51 \u0f73 \u0f71\u0f72",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0646\u0635", "\u0627\u064e\u0644\u0633\u0651\u064e\u0644\u0627\u0645", "\ufefb \ufdfa \ufdf2", "\u0640\u0640 \u0622 \u0627\u0653", "\u06c1\u06c2 \u067e\u0686", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u05e9\u05c1\u05b8 \ufb2a \ufb4f", "\u0710\u0712",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0935\u093e\u0915\u094d\u092f", "\u0915\u094d\u0937", "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937", "\u0958 \u0915\u093c", "\u09ac\u09be\u0982\u09b2\u09be \u09cb", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0bca", "\u0c24\u0c46\u0c32\u0c41\u0c17\u0c41", "\u0d2e\u0d32\u0d2f\u0d3e\u0d33\u0d02",
    "\u0e01\u0e48\u0e32 \u12a0\u121b\u122d\u129b", "\u1820\u180b\u1822 \u180e", "\U0001e900\U0001e922", "\U00010400\U00010428", "\U00011382\U000113c9 \U00011383", "\U0001e4ec\U0001e4ee", "\u0378 unassigned \U000e0080",
)  # fmt: skip
_EMOJI = (
    "\U0001f600", "\U0001f600\U0001f600", "\U0001f600 \U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fb\U0001f44d\U0001f3ff", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f469\U0001f3fe\u200d\U0001f680", "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u2764\ufe0f \u2764\ufe0e \u2764",
    "1\ufe0f\u20e3 #\ufe0f\u20e3", "\U0001f3f3\ufe0f\u200d\U0001f308", "text\U0001f600text", ":-) ;) <3", "\u00af\\_(\u30c4)_/\u00af", "\U0001fae8 \U0001fadc",
)  # fmt: skip
_INVISIBLE = (
    "zero\u200bwidth \u200djoin", "\u200c \u200d \u2060", "soft\u00adhyphen", "\u00ad", "bom\ufeffinside", "\ufeffbom first", "nbsp\u00a0inside", "thin\u2009space \u202f narrow \u3000 wide",
    "left\u200eto\u200fright", "\u202abidi\u202c \u2066isolate\u2069", "variation\ufe00\ufe0f", "\u061c", "\u180e", "\u2061\u2062\u2063", "a\u115fb\u1160", "\ufff9anno\ufffatation\ufffb", "\ufffc \ufffd", "\U000e0001\U000e0041",
    "control\x01char \x7f del", "\x00", "nul\x00ends it", "\x00nul first", "a\x00", "\x07bell \x1b[31mred", "\x80\x9f", "a\x01b\x02c", "\ue000 private \U0010fffd", "\uffff\ufffe", "\u0149\u00ad\u0345",
)  # fmt: skip
_SPECIAL = (
    "[CLS] a [SEP] b [PAD] [MASK] [UNK]", "[SEP]", "[CLS][SEP]", "[sep]", "[ SEP ]", "a[SEP]b", "<s> a </s> b <pad> <mask>", "</s>", "<s></s>", "</s></s>", "a</s>b", "<pad>", "<PAD>", "< s >", "<unk>", "<mask>word", "##ing un##able",
    "##", "#", "\u0120word", "\u010a", "\u0134A", "\u0134B\u0134C", "\u0134", "\u2581word", "@@", "<|endoftext|>",
)  # fmt: skip
_LONG = (
    "x" * 99, "x" * 100, "x" * 101, "x" * 200, "\u00e9" * 49, "\u00e9" * 50, "\u00e9" * 51, "\u4e2d" * 33, "\u4e2d" * 34, "\U0001f600" * 25, "\U0001f600" * 26, "a" * 99 + "\u00df", "\u00df" * 50, "\ufb03" * 34, "a\u0301" * 34,
    "." * 101, "-" * 40, "ab" * 60, "A" * 30 + " " + "b " * 40, "word " * 300, "the dog " * 7, "a " * 11, "a " * 12, "1234567890" * 11, "\u0939\u093f" * 17,
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
)  # fmt: skip

HARD_TEXTS = tuple(
    dict.fromkeys(
        (
            *_SPACES,
            *_NUMBERS,
            *_CONTRACTIONS,
            *_PUNCTUATION,
            *_LATIN,
            *_SCRIPTS,
            *_EMOJI,
            *_INVISIBLE,
            *_SPECIAL,
            *_LONG,
        )
    )
)


def hard_pairs() -> tuple[LabelledPair, ...]:
    """Return the hard texts as pairs: each before and after a plain text, and each before the next hard text."""
    pairs = [_pair(text, PLAIN) for text in HARD_TEXTS]
    pairs += [_pair(PLAIN, text) for text in HARD_TEXTS]
    pairs += [_pair(a, b) for a, b in itertools.pairwise(HARD_TEXTS)]
    return tuple(pairs)


def _pair(first: str, second: str) -> LabelledPair:
    return LabelledPair(first=first, second=second, label=None)
