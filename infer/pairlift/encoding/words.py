"""Words to token ids: each distinct word is encoded once, and numpy assembles the ids of a window of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from pairlift.encoding.tokenizer import Tokens

END = "\n"  # follows the words of each text; no word contains it
KEPT_WORDS = 1 << 16  # these three bound the memory that a hostile file can take
KEPT_IDS = 1 << 20
KEPT_CHARACTERS = 64


class WordTable(dict[str, int]):
    """Maps a word to its place in the table of token ids; a word that is not in it yet is encoded."""

    def __init__(self, spell: Callable[[str], list[int]]) -> None:
        """Begin with an empty table; `spell` returns a word's token ids."""
        super().__init__()
        self._spell = spell
        self._ids: list[int] = []
        self._counts: list[int] = []
        self._lengths: NDArray[np.int64] = np.empty(0, np.int64)
        self._begins: NDArray[np.int64] = np.empty(0, np.int64)
        self._spelt: NDArray[np.int32] = np.empty(0, np.int32)
        self._forget()

    def __missing__(self, word: str) -> int:
        spelling = self._spell(word)
        place = len(self._counts)
        self._ids += spelling
        self._counts.append(len(spelling))
        if len(word) <= KEPT_CHARACTERS:
            self[word] = place
        return place

    def tokenize(self, words: Iterable[str], texts: int) -> Tokens:
        """Return the token ids of texts, given the words of all texts in order, with `END` after each text.

        Raises:
            AssertionError: There are more or fewer `END` than texts.
            UnicodeEncodeError: A word holds a lone surrogate.
        """
        if len(self) > KEPT_WORDS or len(self._ids) > KEPT_IDS:
            self._forget()
        places = np.fromiter(map(self.__getitem__, words), np.int64)
        if len(self._counts) > len(self._lengths):
            self._lengths = np.array(self._counts, np.int64)
            self._begins = np.cumsum(self._lengths) - self._lengths
            self._spelt = np.array(self._ids, np.int32)
        counts = self._lengths[places]
        ends = np.cumsum(counts)
        # Position i of the output, in a word that begins at output position b, holds that word's token id number i - b.
        source = np.arange(counts.sum()) + np.repeat(self._begins[places] - (ends - counts), counts)
        last = ends[places == 0]
        lengths = np.diff(last, prepend=0)
        if len(lengths) != texts:  # scores would be assigned to the wrong rows
            raise AssertionError(f"found the words of {len(lengths)} texts, expected {texts}")
        return Tokens(ids=self._spelt[source], starts=last - lengths, lengths=lengths)

    def _forget(self) -> None:
        self.clear()
        self[END] = 0
        self._ids, self._counts, self._lengths = [], [0], np.empty(0, np.int64)
