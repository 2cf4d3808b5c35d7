"""Batches of token arrays: rows of similar length together, in a few fixed widths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.encoder import Pair, PairEncoder
from pairlift.encoding.packing import Batch, pack, trim
from pairlift.encoding.tokenizer import Tokens
from pairlift.record import dump
from pairlift.version import __version__
from pairlift_training.cache import Arrays, Cache

WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Encoded:
    """The tokens of a data set, which can be packed at any width."""

    def __init__(self, encoder: PairEncoder, pairs: list[Pair], cache: Cache | None = None) -> None:
        def make() -> Arrays:
            return _tokenize(encoder, pairs)

        arrays = cache.arrays("tokens", _identify(encoder, pairs), make) if cache is not None else make()
        self._first, self._second = arrays["first"], arrays["second"]
        self._tokens = Tokens(
            ids=arrays["ids"].astype(np.int32, copy=False), starts=arrays["starts"], lengths=arrays["lengths"]
        )
        self._packing = encoder.packing
        kept = trim(self._packing, self._tokens.lengths[self._first], self._tokens.lengths[self._second])
        lengths = kept[0] + kept[1] + self._packing.special_tokens
        longest = self._packing.sequence_length
        self.widths = np.array(sorted({*(w for w in WIDTHS if w < longest), longest}), np.int64)
        self.bucket: NDArray[np.int64] = np.searchsorted(self.widths, lengths)

    def __len__(self) -> int:
        return len(self._first)

    def pack(self, rows: NDArray[np.int64]) -> Batch:
        """Return rows as one batch, as wide as the bucket of the longest row."""
        width = int(self.widths[self.bucket[rows].max()])
        return pack(self._packing, self._tokens, self._first[rows], self._second[rows], width)

    def batches(self, size: int, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each batch, ordered by `order` within a bucket; leftover rows join the next wider bucket.

        Every batch but the last is full, so a data set of n rows is ceil(n / size) batches.
        """
        rest = np.empty(0, np.int64)
        for bucket in range(len(self.widths)):
            rows = np.concatenate([rest, order[self.bucket[order] == bucket]])
            full = len(rows) - len(rows) % size
            yield from rows[:full].reshape(-1, size)
            rest = rows[full:]
        if len(rest):
            yield rest


def _tokenize(encoder: PairEncoder, pairs: list[Pair]) -> Arrays:
    texts: dict[str, int] = {}
    index = [texts.setdefault(text, len(texts)) for pair in pairs for text in pair]
    first, second = np.array(index, np.int64).reshape(-1, 2).T
    tokens = encoder.tokenize(list(texts))
    return {"first": first, "second": second, "ids": tokens.ids, "starts": tokens.starts, "lengths": tokens.lengths}


def _identify(encoder: PairEncoder, pairs: list[Pair]) -> str:
    """Return the digest of everything that determines the tokens: the texts, the tokenizer and pairlift's version."""
    digest = hashlib.sha256(f"{__version__}\n".encode() + dump(encoder.record.tokenizer))
    for pair in pairs:
        digest.update("\x1f".join(pair).encode() + b"\x1e")
    return digest.hexdigest()
