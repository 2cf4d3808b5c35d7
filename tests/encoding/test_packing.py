"""Pairs are packed as KerasHub packs them; the expected rows are written out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pairlift.encoding.packing import Packing, pack, trim
from pairlift.encoding.tokenizer import Tokens

BERT = Packing(
    sequence_length=10, truncation="round_robin", start=(1,), separator=(2,), end=(2,), pad=0, segment_ids=True
)
ROBERTA = dataclasses.replace(BERT, start=(5,), separator=(6, 6), end=(6,), pad=1, segment_ids=False)


def tokens_of(first: list[int], second: list[int]) -> Tokens:
    """Return the tokens of two texts."""
    return Tokens(
        ids=np.array(first + second, np.int32),
        starts=np.array([0, len(first)]),
        lengths=np.array([len(first), len(second)]),
    )


def lengths(packing: Packing, first: int, second: int) -> tuple[int, int]:
    """Return the kept tokens of one pair."""
    a, b = trim(packing, np.array([first]), np.array([second]))
    return int(a[0]), int(b[0])


def test_a_bert_row_is_framed_and_padded() -> None:
    batch = pack(BERT, tokens_of([7, 8], [9]), np.array([0]), np.array([1]), 10)
    assert batch.token_ids.tolist() == [[1, 7, 8, 2, 9, 2, 0, 0, 0, 0]]
    assert batch.padding_mask.tolist() == [[1, 1, 1, 1, 1, 1, 0, 0, 0, 0]]
    assert batch.segment_ids is not None
    assert batch.segment_ids.tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0]]


def test_a_roberta_row_has_a_double_separator_and_no_segments() -> None:
    batch = pack(ROBERTA, tokens_of([7, 8], [9]), np.array([0]), np.array([1]))
    assert batch.token_ids.tolist() == [[5, 7, 8, 6, 6, 9, 6]]
    assert batch.segment_ids is None
    assert set(batch.feeds()) == {"token_ids", "padding_mask"}


def test_a_padding_id_in_the_text_is_masked_as_keras_hub_masks_it() -> None:
    batch = pack(ROBERTA, tokens_of([1], [9]), np.array([0]), np.array([1]))
    assert batch.padding_mask.tolist() == [[1, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(3, 4, (3, 4)), (9, 9, (4, 3)), (9, 1, (6, 1)), (1, 9, (1, 6)), (4, 9, (4, 3)), (9, 3, (4, 3)), (0, 9, (0, 7))],
)
def test_round_robin_gives_the_odd_token_to_the_first_segment(first: int, second: int, kept: tuple[int, int]) -> None:
    assert lengths(BERT, first, second) == kept


@pytest.mark.parametrize(("first", "second", "kept"), [(9, 9, (7, 0)), (5, 9, (5, 2)), (0, 9, (0, 7)), (2, 2, (2, 2))])
def test_waterfall_fills_the_first_segment_first(first: int, second: int, kept: tuple[int, int]) -> None:
    assert lengths(dataclasses.replace(BERT, truncation="waterfall"), first, second) == kept


def test_at_the_minimum_length_only_special_tokens_are_left() -> None:
    shortest = dataclasses.replace(ROBERTA, sequence_length=4)
    assert lengths(shortest, 5, 5) == (0, 0)
