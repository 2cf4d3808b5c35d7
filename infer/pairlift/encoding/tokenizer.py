"""Tokenizers as data: the contents of a bundle's tokenizer.json."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The token ids of a list of texts, concatenated.

    Attributes:
        ids: Int32, shape (n_tokens,).
        starts: Where each text begins in `ids`, int64, shape (n_texts,).
        lengths: Tokens of each text, int64, shape (n_texts,).
    """

    ids: Ids
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


class Tokenizer(Protocol):
    """Turns texts into token ids, without special tokens and without truncation."""

    def encode(self, texts: list[str]) -> Tokens:
        """Return the token ids of texts.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerRecord:
    """A complete KerasHub tokenizer.

    Attributes:
        family: `wordpiece` (BERT) or `bytepair` (RoBERTa).
        vocabulary: Tokens in id order.
        merges: Byte-pair merge rules in rank order, empty for word pieces.
        lowercase: Whether words are case-folded (word pieces).
        strip_accents: Whether combining marks are dropped (word pieces).
        split_on_cjk: Whether each CJK character is a word (word pieces).
        suffix_indicator: What marks a piece that continues a word (word pieces).
        unknown: The token for a word that cannot be encoded (word pieces), otherwise empty.
        unsplittable: Literal strings that are always one token (byte pairs), in KerasHub's order.
        add_prefix_space: Whether a space is added before the text (byte pairs).
    """

    format: int = 1
    family: str
    vocabulary: tuple[str, ...]
    merges: tuple[str, ...] = ()
    lowercase: bool = False
    strip_accents: bool = False
    split_on_cjk: bool = True
    suffix_indicator: str = "##"
    unknown: str = ""
    unsplittable: tuple[str, ...] = ()
    add_prefix_space: bool = False
