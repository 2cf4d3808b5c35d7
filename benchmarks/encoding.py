"""Encoding pairs: pairlift's exact encoder beside the BERT tokenizer of the `tokenizers` library.

Both turn the same pairs of ASCII texts into padded token ids, masks and segment ids of 128 columns, in turns, in one
process. Run: python benchmarks/encoding.py PAIRS.jsonl VOCABULARY.txt [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pairlift.encoding.encoder import EncoderRecord, Pair, PairEncoder
from pairlift.encoding.packing import ROUND_ROBIN, Packing
from pairlift.encoding.tokenizer import TokenizerRecord
from tokenizers import BertWordPieceTokenizer

LENGTH = 128
WINDOW = 2048

Arrays = list[np.ndarray]


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs whose texts are ASCII."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    pairs = [(row["hypothesis"], row["premise"]) for row in rows]
    return [pair for pair in pairs if (pair[0] + pair[1]).isascii()]


def ours(vocabulary: list[str]) -> Callable[[list[Pair]], Arrays]:
    """Return pairlift's encoder."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    start, end = (ids["[CLS]"],), (ids["[SEP]"],)
    packing = Packing(sequence_length=LENGTH, truncation=ROUND_ROBIN, start=start, separator=end, end=end, pad=ids["[PAD]"], segment_ids=True)  # fmt: skip
    record = TokenizerRecord(family="wordpiece", vocabulary=tuple(vocabulary), lowercase=True, unknown="[UNK]")
    encoder = PairEncoder(EncoderRecord(tokenizer=record, packing=packing))
    return lambda pairs: list(encoder.encode(pairs, LENGTH).feeds().values())


def theirs(vocabulary: list[str]) -> Callable[[list[Pair]], Arrays]:
    """Return the library's tokenizer, with its own truncation and padding."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(vocabulary) + "\n")
        file.flush()
        tokenizer = BertWordPieceTokenizer(file.name, lowercase=True)
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)

    def encode(pairs: list[Pair]) -> Arrays:
        found = tokenizer.encode_batch(pairs)
        return [np.array([getattr(e, name) for e in found], np.int32) for name in ("ids", "attention_mask", "type_ids")]

    return encode


def main(pairs_file: str, vocabulary_file: str, rounds: str = "7") -> None:
    """Print the median rate of each and their ratio, and hold the arrays to one another first."""
    vocabulary = Path(vocabulary_file).read_text(encoding="utf-8").split("\n")[:-1]
    pairs = read_pairs(Path(pairs_file))
    encoders = {"pairlift": ours(vocabulary), "tokenizers": theirs(vocabulary)}
    windows = [pairs[i : i + WINDOW] for i in range(0, len(pairs), WINDOW)]
    for window in windows:
        for a, b in zip(*(encode(window) for encode in encoders.values()), strict=True):
            np.testing.assert_array_equal(a, b)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(int(rounds)):
        for name, encode in encoders.items():
            started = time.perf_counter()
            for window in windows:
                encode(window)
            seconds[name].append(time.perf_counter() - started)
    rates = {name: len(pairs) / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:<12}{rate:>10,.0f} pairs/s")
    print(f"ratio       {rates['pairlift'] / rates['tokenizers']:>10.2f}  ({len(pairs):,} ASCII pairs, equal arrays)")


if __name__ == "__main__":
    main(*sys.argv[1:])
