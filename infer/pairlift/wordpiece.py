"""WordPiece: BERT's tokenizer, as KerasHub's graph path computes it.

Source: keras_hub.tokenizers.WordPieceTokenizer (keras-hub 0.32), `_tokenize_tf`, and "Fast WordPiece Tokenization"
(Song et al., EMNLP 2021), whose result is that of greedy longest-match-first.
"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, normalizers, pre_tokenizers

from pairlift import characters
from pairlift.tokenizer import Ids, TokenizerRecord

MAX_WORD_BYTES = 100  # tensorflow_text.FastWordpieceTokenizer makes a longer word unknown, whole
CACHED_WORDS = 1 << 16  # bounds the memory that a hostile file can take


class WordPiece:
    """Texts to word-piece ids. Printable ASCII goes through Rust whole; other text is split here, word by word."""

    def __init__(self, record: TokenizerRecord) -> None:
        vocabulary = {token: i for i, token in enumerate(record.vocabulary)}
        self._record = record
        self._unknown = vocabulary[record.unknown]
        self._model = models.WordPiece(
            vocabulary,
            unk_token=record.unknown,
            max_input_chars_per_word=MAX_WORD_BYTES,
            continuing_subword_prefix=record.suffix_indicator,
        )
        self._ascii = RustTokenizer(self._model)
        self._ascii.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        if record.lowercase:
            self._ascii.normalizer = normalizers.Lowercase()
        self._words: dict[str, list[int]] = {}
        self._kinds = _CharacterKinds(record)

    def encode(self, texts: list[str]) -> list[Ids]:
        """Return the token ids of each text, int32, shape (n_tokens,).

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        plain = [i for i, text in enumerate(texts) if text.isascii() and text.isprintable()]
        if len(plain) == len(texts):
            return self._encode_ascii(texts)
        ids = [_NOTHING] * len(texts)
        for i, encoded in zip(plain, self._encode_ascii([texts[i] for i in plain]), strict=True):
            ids[i] = encoded
        for i in sorted(set(range(len(texts))).difference(plain)):
            ids[i] = self._encode_any(texts[i])
        return ids

    def _encode_ascii(self, texts: list[str]) -> list[Ids]:
        encodings = self._ascii.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(e.ids, np.int32) for e in encodings]

    def _encode_any(self, text: str) -> Ids:
        ids: list[int] = []
        for word in self.split(text):
            ids += self._word_ids(word)
        return np.array(ids, np.int32)

    def _word_ids(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            too_long = len(word.encode()) > MAX_WORD_BYTES
            known = [self._unknown] if too_long else [token.id for token in self._model.tokenize(word)]
            if len(self._words) >= CACHED_WORDS:
                self._words.clear()
            self._words[word] = known
        return known

    def split(self, text: str) -> list[str]:
        """Return a text's words, folded and without accents as the record says; no word is empty.

        A NUL ends the text, for tensorflow_text's `regex_split` stops there.
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


_NOTHING: Ids = np.empty(0, np.int32)


class _CharacterKinds(dict[int, str]):
    """A table for `str.translate`: separators become a space, words of one character get spaces around."""

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
