"""Shapes: compares a variant with Keras in batches of many shapes, and a row's scores in different batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.encoder import EncoderRecord, Pair, PairEncoder
from pairlift.encoding.packing import Batch
from pairlift.model.scorer import Scorer, softmax
from pairlift_export.certificate import Invariance, ShapeParity
from pairlift_export.reference import Reference

BATCHES = (1, 2, 7, 32)
LENGTHS = (5, 17, 64)
MOST_TOKENS = 2048  # of a batch; the runner's own batches are half as large
COMPANIONS = 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A batch of the matrix, and Keras' probabilities of its rows."""

    batch: Batch
    expected: NDArray[np.float32]


def make_shapes(reference: Reference, encoder: EncoderRecord, pairs: Sequence[Pair]) -> list[Shape]:
    """Have Keras compute a batch of every shape of the matrix; its rows are as long as the shape allows, or shorter."""
    packing = encoder.packing
    shortest, longest = packing.special_tokens, packing.sequence_length
    lengths = [shortest, *(n for n in LENGTHS if shortest < n < longest), longest]
    call = reference.compile()
    found = []
    for length in dict.fromkeys(lengths):
        cut = PairEncoder(EncoderRecord(tokenizer=encoder.tokenizer, packing=packing.with_length(length)))
        arrays = cut.encode(_repeat(pairs, max(BATCHES)), length)
        for rows in [n for n in BATCHES if n * length <= MOST_TOKENS] or [1]:
            batch = take(arrays, np.arange(rows))
            found.append(Shape(batch=batch, expected=softmax(call(batch.feeds()))))
    return found


def compare_shapes(shapes: Sequence[Shape], scorer: Scorer) -> tuple[ShapeParity, ...]:
    """Compare a variant with Keras in every shape of the matrix."""
    with ThreadPoolExecutor(scorer.threads) as pool:
        served = list(pool.map(lambda shape: softmax(scorer.run(shape.batch)), shapes))
    found = []
    for shape, probabilities in zip(shapes, served, strict=True):
        rows, length = shape.batch.token_ids.shape
        difference = float(np.abs(shape.expected - probabilities).max())
        found.append(ShapeParity(batch=rows, length=length, max=difference))
    return tuple(found)


def measure_invariance(scorer: Scorer, encoder: PairEncoder, pairs: Sequence[Pair]) -> Invariance:
    """Score some pairs of similar length as the runner does: together, alone, reversed, shuffled, and fully padded."""
    by_length = sorted(pairs, key=lambda pair: len(encoder.encode([pair]).token_ids[0]))
    middle = max(0, (len(by_length) - COMPANIONS) // 2)
    chosen = by_length[middle : middle + COMPANIONS]
    together = scorer.score(chosen)
    with ThreadPoolExecutor(scorer.threads) as pool:
        alone = np.concatenate(list(pool.map(lambda pair: scorer.score([pair]), chosen)))
    orders = [np.arange(len(chosen))[::-1], np.random.default_rng(0).permutation(len(chosen))]
    moved = [np.abs(scorer.score([chosen[i] for i in order]) - together[order]).max() for order in orders]
    longest = encoder.packing.sequence_length
    rows = max(1, MOST_TOKENS // longest)
    padded = encoder.encode(chosen, longest)
    batches = [np.arange(i, min(i + rows, len(chosen))) for i in range(0, len(chosen), rows)]
    wide = np.concatenate([softmax(scorer.run(take(padded, batch))) for batch in batches])
    return Invariance(
        rows=len(chosen),
        alone=float(np.abs(alone - together).max()),
        order=float(max(moved)),
        padding=float(np.abs(wide - together).max()),
    )


def take(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Return some rows of a batch."""
    return Batch(
        token_ids=batch.token_ids[rows],
        padding_mask=batch.padding_mask[rows],
        segment_ids=None if batch.segment_ids is None else batch.segment_ids[rows],
    )


def _repeat(pairs: Sequence[Pair], count: int) -> list[Pair]:
    longest = sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]), reverse=True)[: count // 2]
    mixed = [*longest, *pairs]
    return [mixed[i % len(mixed)] for i in range(count)]
