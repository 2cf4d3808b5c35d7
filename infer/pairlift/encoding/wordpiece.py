"""WordPiece: BERT's tokenizer, as KerasHub's graph path computes it.

Source: keras_hub.tokenizers.WordPieceTokenizer (keras-hub 0.32), `_tokenize_tf`, and "Fast WordPiece Tokenization"
(Song et al., EMNLP 2021), whose result is that of greedy longest-match-first.
"""

from __future__ import annotations

import itertools
import re

from pairlift.encoding import characters
from pairlift.encoding.tokenizer import TokenizerRecord, Tokens
from pairlift.encoding.words import END, WordTable

MAX_WORD_BYTES = 100  # tensorflow_text.FastWordpieceTokenizer turns a longer word into one unknown token


class WordPiece:
    """Turns texts into word-piece ids. One expression splits all printable ASCII of a list; others go one by one."""

    def __init__(self, record: TokenizerRecord) -> None:
        self._record = record
        self._vocabulary = {token: i for i, token in enumerate(record.vocabulary)}
        self._unknown = self._vocabulary[record.unknown]
        self._longest = max(map(len, record.vocabulary))
        self._table = WordTable(self._spell)
        self._kinds = _CharacterKinds(record)

    def encode(self, texts: list[str]) -> Tokens:
        """Return the token ids of texts.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        words: list[str] = []
        for plain, group in itertools.groupby(texts, _is_plain):
            if plain:
                joined = END.join(group)
                words += _ASCII_WORD.findall(joined.lower() if self._record.lowercase else joined)
                words.append(END)
            else:
                for text in group:
                    words += self.split(text)
                    words.append(END)
        return self._table.tokenize(words, len(texts))

    def _spell(self, word: str) -> list[int]:
        """Return the ids of a word's pieces: each is the longest piece with which the rest of the word begins."""
        if len(word.encode()) > MAX_WORD_BYTES:
            return [self._unknown]
        ids, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                found = self._vocabulary.get(prefix + word[start:end])
                if found is not None:
                    break
            else:
                return [self._unknown]
            ids.append(found)
            start, prefix = end, self._record.suffix_indicator
        return ids

    def split(self, text: str) -> list[str]:
        """Return a text's words, case-folded and without accents if the record says so. No word is empty.

        A NUL ends the text, because tensorflow_text's `regex_split` stops there.
        """
        text = text.partition("\0")[0]
        if self._record.strip_accents:
            if self._record.split_on_cjk:
                # Before the decomposition, which joins some compatibility ideographs to their neighbours.
                text = "".join(f" {c} " if characters.is_cjk(c) else c for c in text)
            text = "".join(c for c in characters.decompose(text) if not characters.is_mark(c))
        words = text.translate(self._kinds).split(" ")
        if self._record.lowercase:
            words = [characters.case_fold(word) for word in words]
        return [word for word in words if word]


# Between spaces, each character that is neither a letter nor a digit is punctuation.
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9 ]")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class _CharacterKinds(dict[int, str]):
    """A table for `str.translate`: separators become a space, and characters that are words get spaces around them."""

    def __init__(self, record: TokenizerRecord) -> None:
        self._split_on_cjk = record.split_on_cjk

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if characters.is_separator(char):
            kind = " "
        elif characters.is_punctuation(char) or (self._split_on_cjk and characters.is_cjk(char)):
            kind = f" {char} "
        else:
            kind = char
        self[code] = kind
        return kind
