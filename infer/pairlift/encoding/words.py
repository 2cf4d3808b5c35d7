"""Words to token ids: each distinct word is spelt once, and a window of texts becomes one table by numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from pairlift.encoding.tokenizer import Tokens

END = "\n"  # stands after the words of each text; no word holds it
KEPT_WORDS = 1 << 16  # these three bound the memory that a hostile file can take
KEPT_IDS = 1 << 20
KEPT_CHARACTERS = 64


class WordTable(dict[str, int]):
    """A word's place in the table of spellings; a word that is not there yet is spelt."""

    def __init__(self, spell: Callable[[str], list[int]]) -> None:
        """Begin with no words; `spell` returns a word's token ids."""
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
        """Return the token ids of texts, given the words of one after the other with `END` after each.

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
        # Position i of the output, in the word that begins at output position b, is the word's spelling at i - b.
        source = np.arange(counts.sum()) + np.repeat(self._begins[places] - (ends - counts), counts)
        last = ends[places == 0]
        lengths = np.diff(last, prepend=0)
        if len(lengths) != texts:  # scores would go to other rows
            raise AssertionError(f"found the words of {len(lengths)} texts, expected {texts}")
        return Tokens(ids=self._spelt[source], starts=last - lengths, lengths=lengths)

    def _forget(self) -> None:
        self.clear()
        self[END] = 0
        self._ids, self._counts, self._lengths = [], [0], np.empty(0, np.int64)
