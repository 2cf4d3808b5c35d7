"""Byte pairs: RoBERTa's tokenizer, as KerasHub's graph path computes it.

Source: keras_hub.tokenizers.BytePairTokenizer (keras-hub 0.32), `_tokenize_tf` and `split_strings_for_bpe`. GPT-2's
split needs a look-ahead that RE2 lacks, so KerasHub marks the last space before a word with the Devanagari digit six
and removes the marks afterwards. This module reproduces the side effects of that.
"""

from __future__ import annotations

import itertools
import re

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers

from pairlift.encoding import characters
from pairlift.encoding.tokenizer import TokenizerRecord, Tokens
from pairlift.encoding.words import END, WordTable
from pairlift.errors import BundleError

MARK = "\u096c"  # the Devanagari digit six, which KerasHub uses as a mark
SPACES = "\u00a0\u2009\u202f\u3000"
# Texts that GPT-2's and KerasHub's splits treat alike: words one space apart, nothing that could be a special token.
PLAIN = re.compile(r"(?! )(?:[!-;=-~]| (?! ))*(?<! )\Z")


class BytePair:
    """Turns texts into byte-pair ids. One expression splits all plain ASCII texts of a list; others go one by one."""

    def __init__(self, record: TokenizerRecord) -> None:
        vocabulary = {token: i for i, token in enumerate(record.vocabulary)}
        merges = [(a, b) for a, b in (m.split(" ") for m in record.merges if "#version:" not in m)]
        _check_vocabulary(vocabulary, merges)
        self._prefix = " " if record.add_prefix_space else ""
        self._piece = RustTokenizer(models.BPE(vocabulary, merges))
        self._piece.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._stand_ins = [(token, _stand_in(i)) for i, token in enumerate(record.unsplittable)]
        self._special = {token: [vocabulary[token]] for token in record.unsplittable}
        self._table = WordTable(self._spell)

    def encode(self, texts: list[str]) -> Tokens:
        """Return the token ids of texts.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        texts = [self._prefix + text for text in texts] if self._prefix else texts
        pieces: list[str] = []
        for plain, group in itertools.groupby(texts, _is_plain):
            if plain:
                pieces += _PLAIN_WORD.findall(END.join(group))
                pieces.append(END)
            else:
                for text in group:
                    text.encode()  # raises for a lone surrogate, whatever else the text contains
                    pieces += (_LINE_END if piece == END else piece for piece in self.split(text))
                    pieces.append(END)
        return self._table.tokenize(pieces, len(texts))

    def _spell(self, piece: str) -> list[int]:
        piece = END if piece == _LINE_END else piece
        return self._special.get(piece) or list(self._piece.encode(piece, add_special_tokens=False).ids)

    def split(self, text: str) -> list[str]:
        """Return the pieces of a text, in order. Byte pairs never cross the border of a piece.

        A NUL ends the text, because tensorflow_text's `regex_split` stops there. Devanagari sixes that end up alone are
        removed.
        """
        text = _SPACE_BEFORE_WORD.sub(rf"{MARK}\1", text)
        text = _FOUR_SPACES_AT_END.sub(rf"\1{MARK}", text)
        parts = [text.partition("\0")[0]]
        for token, stand_in in self._stand_ins:
            parts = [stand_in if p == token else p for part in parts for p in _split_keeping(token, part)]
        pieces = [tail for part in parts for word in _split_words(part) for tail in _split_last(word)]
        for token, stand_in in self._stand_ins:
            pieces = [piece.replace(stand_in, token) for piece in pieces]
        return [piece for piece in pieces if piece != MARK]


_PLAIN_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^ \nA-Za-z0-9]+|\n")
_LINE_END = "\udc0a"  # replaces a piece that is one line end, which would end a text in the table; not valid in UTF-8


def _is_plain(text: str) -> bool:
    return text.isascii() and PLAIN.match(text) is not None


_SPACE_BEFORE_WORD = re.compile(rf"( [^\t\n\f\r {SPACES}])")
_FOUR_SPACES_AT_END = re.compile(rf"([\t\n\f\r ]{SPACES})\Z")  # as upstream: these five in sequence, not a class
_LAST = f" \t\r\f\v{MARK}{SPACES}"

# The word pattern, for a proxy text: each character is replaced by one that stands for its class, as `re` has no \p{…}.
_LETTER, _NUMBER, _SPACE, _OTHER = "\u0101", "\u00b2", "\u00a0", "\u00b6"
_WORD = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d"
    rf"|[\t\n\f\r {_SPACE}]+[\n\r\t\f{MARK}{_SPACE}]"
    rf"| ?[A-Za-z{_LETTER}]+"
    rf"| ?[0-9{_NUMBER}{MARK}]+"
    rf"| ?[^\t\n\f\r A-Za-z0-9{_LETTER}{_NUMBER}{MARK}{_SPACE}]+"
)


class _Proxy(dict[int, str]):
    def __missing__(self, code: int) -> str:
        char = chr(code)
        if code < 128 or char == MARK:
            kind = char
        elif char in SPACES:
            kind = _SPACE
        elif characters.is_letter(char):
            kind = _LETTER
        else:
            kind = _NUMBER if characters.is_number(char) else _OTHER
        self[code] = kind
        return kind


_PROXY = _Proxy()


def _split_words(text: str) -> list[str]:
    words, end = [], 0
    for match in _WORD.finditer(text.translate(_PROXY)):
        if match.start() > end:
            words.append(text[end : match.start()])
        words.append(text[match.start() : match.end()])
        end = match.end()
    if end < len(text):
        words.append(text[end:])
    return words


def _split_last(word: str) -> list[str]:
    return [word[:-1], word[-1]] if len(word) > 1 and word[-1] in _LAST else [word]


def _split_keeping(token: str, text: str) -> list[str]:
    return [part for part in re.split(f"({re.escape(token)})", text) if part]


def _stand_in(index: int) -> str:
    return "\u0134" + "".join(chr(ord("A") + int(digit)) for digit in str(index))


def _check_vocabulary(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    lacking = [b for b in pre_tokenizers.ByteLevel.alphabet() if b not in vocabulary]
    lacking += [a + b for a, b in merges if a + b not in vocabulary]
    if lacking:
        raise BundleError(
            f"byte-pair vocabulary: {len(lacking)} tokens are missing, for example {lacking[0]!r}; "
            "expected all 256 bytes and the result of every merge rule"
        )
