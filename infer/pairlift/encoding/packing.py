"""Packing: two segments of token ids become one padded row.

Source: keras_hub.layers.MultiSegmentPacker (keras-hub 0.32), and tensorflow_text's RoundRobinTrimmer and
WaterfallTrimmer.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pairlift.encoding.tokenizer import Ids, Tokens

ROUND_ROBIN = "round_robin"
WATERFALL = "waterfall"
TRUNCATIONS = (ROUND_ROBIN, WATERFALL)
WIDTH_STEP = 2  # columns between two widths of a batch (docs/performance.md)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How a pair becomes one sequence: start, first segment, separator, second segment, end, padding.

    Attributes:
        sequence_length: The maximum number of tokens of a row, including special ones.
        truncation: `round_robin` (a token of each segment in turn, the first segment first) or `waterfall`.
        start: Token ids before the first segment.
        separator: Token ids between the segments.
        end: Token ids after the second segment.
        pad: The token id of padding.
        segment_ids: Whether the graph takes segment ids (BERT) or not (RoBERTa).
    """

    sequence_length: int
    truncation: str
    start: tuple[int, ...]
    separator: tuple[int, ...]
    end: tuple[int, ...]
    pad: int
    segment_ids: bool

    @property
    def special_tokens(self) -> int:
        """The number of special tokens in a row."""
        return len(self.start) + len(self.separator) + len(self.end)

    def with_length(self, sequence_length: int) -> Packing:
        """Return the same packing with another sequence length."""
        return dataclasses.replace(self, sequence_length=sequence_length)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Packed rows, each array int32 of shape (rows, width).

    Attributes:
        token_ids: The token ids, padded on the right.
        padding_mask: 1 for a token, 0 where the token id is that of padding.
        segment_ids: 1 for the second segment and the end tokens, else 0; None if the graph takes no segment ids.
    """

    token_ids: Ids
    padding_mask: Ids
    segment_ids: Ids | None

    def feeds(self) -> dict[str, Ids]:
        """Return the arrays by the names of the graph's inputs."""
        feeds = {"token_ids": self.token_ids, "padding_mask": self.padding_mask}
        if self.segment_ids is not None:
            feeds["segment_ids"] = self.segment_ids
        return feeds


def trim(
    packing: Packing, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many tokens of each segment are kept.

    Args:
        packing: The lengths and the truncation.
        first: Tokens of the first segments, shape (n,).
        second: Tokens of the second segments, shape (n,).
    """
    budget = packing.sequence_length - packing.special_tokens
    if packing.truncation == ROUND_ROBIN:
        kept_first = np.minimum(first, np.maximum((budget + 1) // 2, budget - second))
    else:
        kept_first = np.minimum(first, budget)
    return kept_first, np.minimum(second, budget - kept_first)


def find_widths(
    packing: Packing, tokens: Tokens, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the columns that each row is padded to: its length, rounded up to one of few widths.

    Args:
        packing: How pairs are packed.
        tokens: The texts' tokens.
        first: For each row the index of its first text, shape (n,).
        second: For each row the index of its second text, shape (n,).
    """
    kept_first, kept_second = trim(packing, tokens.lengths[first], tokens.lengths[second])
    lengths = kept_first + kept_second + packing.special_tokens
    widths: NDArray[np.int64] = np.minimum(-(-lengths // WIDTH_STEP) * WIDTH_STEP, packing.sequence_length)
    return widths


def pack(
    packing: Packing,
    tokens: Tokens,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    width: int | None = None,
) -> Batch:
    """Return packed rows.

    Args:
        packing: How pairs are packed.
        tokens: The texts' tokens.
        first: For each row the index of its first text, shape (n,).
        second: For each row the index of its second text, shape (n,).
        width: Columns of the batch; the longest row's length when None.
    """
    kept_first, kept_second = trim(packing, tokens.lengths[first], tokens.lengths[second])
    total = kept_first + kept_second + packing.special_tokens
    shape = (len(first), int(total.max(initial=0)) if width is None else width)
    token_ids = np.full(shape, packing.pad, np.int32)
    column = np.arange(shape[1])[None, :]
    begin = np.full((len(first), 1), 0, np.int64)
    begin = _place_special(token_ids, column, begin, packing.start)
    begin = _place_text(token_ids, column, begin, tokens, first, kept_first)
    begin = _place_special(token_ids, column, begin, packing.separator)
    segment_ids = (column >= begin) & (column < total[:, None])
    begin = _place_text(token_ids, column, begin, tokens, second, kept_second)
    _place_special(token_ids, column, begin, packing.end)
    return Batch(
        token_ids=token_ids,
        padding_mask=(token_ids != packing.pad).astype(np.int32),
        segment_ids=segment_ids.astype(np.int32) if packing.segment_ids else None,
    )


def _place_special(
    rows: Ids, column: NDArray[np.int64], begin: NDArray[np.int64], values: tuple[int, ...]
) -> NDArray[np.int64]:
    for value in values:
        rows[column == begin] = value
        begin = begin + 1
    return begin


def _place_text(
    rows: Ids,
    column: NDArray[np.int64],
    begin: NDArray[np.int64],
    tokens: Tokens,
    texts: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> NDArray[np.int64]:
    end = begin + kept[:, None]
    inside = (column >= begin) & (column < end)
    source = tokens.starts[texts][:, None] + column - begin
    rows[inside] = tokens.ids[source[inside]]
    return end
