"""The runner's ids, masks and segment ids are KerasHub's in its graph path, for any two strings."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from conftest import CORPUS, read_vocabulary
from models import bert_vocabulary, roberta_vocabulary
from pairlift.encoder import Pair, PairEncoder, read_keras_preprocessor
from pairlift_export.hard import hard_pairs

pytestmark = pytest.mark.keras

BERT_OPTIONS: list[dict[str, Any]] = [
    {"lowercase": True},
    {"lowercase": True, "strip_accents": True},
    {"lowercase": False},
    {"lowercase": False, "strip_accents": True},
    {"lowercase": True, "split_on_cjk": False},
]
LENGTHS = [(64, "round_robin"), (11, "round_robin"), (12, "waterfall"), (4, "round_robin"), (4, "waterfall")]
HARD = [(pair.first, pair.second) for pair in hard_pairs()]


def keras_arrays(preprocessor: Any, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return KerasHub's arrays, made inside `tf.data`."""
    data = tf.data.Dataset.from_tensor_slices(([p[0] for p in pairs], [p[1] for p in pairs])).batch(512)
    parts = list(data.map(lambda a, b: preprocessor(x=(a, b))).as_numpy_iterator())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def assert_equal(tokenizer: Any, pairs: Sequence[Pair], lengths: Sequence[tuple[int, str]] = LENGTHS) -> None:
    """Hold the encoder to KerasHub at several lengths and both truncations."""
    bert = type(tokenizer).__name__ == "BertTokenizer"
    models = keras_hub.models
    kind = models.BertTextClassifierPreprocessor if bert else models.RobertaTextClassifierPreprocessor
    for length, truncate in lengths:
        preprocessor = kind(tokenizer, sequence_length=length, truncate=truncate)
        expected = keras_arrays(preprocessor, pairs)
        feeds = PairEncoder(read_keras_preprocessor(preprocessor)).encode(pairs, length).feeds()
        assert set(feeds) == set(expected)
        for name, values in expected.items():
            wrong = np.flatnonzero((feeds[name] != values).any(axis=1))
            assert not len(wrong), f"{name} at {length} {truncate}: {len(wrong)} pairs, first {pairs[wrong[0]]!a}"


@pytest.mark.parametrize("i", range(len(BERT_OPTIONS)), ids=lambda i: str(BERT_OPTIONS[i]))
def test_bert_is_exact_on_hard_texts(i: int) -> None:
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=bert_vocabulary(), **BERT_OPTIONS[i])
    assert_equal(tokenizer, HARD, [LENGTHS[i], LENGTHS[i - 2]])


def test_roberta_is_exact_on_hard_texts() -> None:
    vocabulary, merges = roberta_vocabulary()
    assert_equal(keras_hub.models.RobertaTokenizer(vocabulary=vocabulary, merges=merges), HARD, LENGTHS[1:4:2])


def random_pairs(count: int, seed: int) -> list[Pair]:
    """Return pairs of characters from all of Unicode, the troublesome ones often."""
    draw = random.Random(seed)
    often = [
        *(text for pair in HARD[:60] for text in pair[:1]),
        " ",
        "\u0300",
        "\u0345",
        "\u034f",
        "\u1100\u1161",
        "\u0134A",
    ]

    def piece() -> str:
        if draw.random() < 0.5:
            return draw.choice(often)
        top = draw.choice([0x7F, 0x24F, 0x2FFF, 0xD7FF, 0x10FFFF])
        code = draw.randint(0, top)
        return chr(code if not 0xD800 <= code <= 0xDFFF else 0x20)

    def text() -> str:
        return "".join(piece() + draw.choice(["", "", " "]) for _ in range(draw.randint(0, 8)))

    return [(text(), text()) for _ in range(count)]


def real_roberta() -> Any:
    """Return RoBERTa's own tokenizer."""
    merges = (CORPUS / "vocab/roberta_merges.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = json.loads((CORPUS / "vocab/roberta_vocab.json").read_text())
    return keras_hub.models.RobertaTokenizer(vocabulary=vocabulary, merges=merges)


@pytest.mark.corpus
@pytest.mark.parametrize("options", BERT_OPTIONS, ids=str)
def test_bert_is_exact_on_random_unicode(options: dict[str, Any]) -> None:
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=read_vocabulary(), **options)
    assert_equal(tokenizer, [*HARD, *random_pairs(4000, seed=11)], LENGTHS[:1])


@pytest.mark.corpus
def test_roberta_is_exact_on_random_unicode() -> None:
    assert_equal(real_roberta(), [*HARD, *random_pairs(4000, seed=12)], LENGTHS[:1])


def snli(name: str) -> list[Pair]:
    """Return the pairs of a corpus file in model order."""
    rows = [json.loads(line) for line in (CORPUS / "snli" / name).read_text(encoding="utf-8").splitlines()]
    return [(row["hypothesis"], row["premise"]) for row in rows]


@pytest.mark.corpus
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_all_of_snli_is_exact(family: str) -> None:
    tokenizer = (
        real_roberta()
        if family == "roberta"
        else keras_hub.models.BertTokenizer(vocabulary=read_vocabulary(), lowercase=True)
    )
    assert_equal(tokenizer, [*snli("train.jsonl"), *snli("validation.jsonl")], [(48, "round_robin")])


def test_character_classes_and_case_folding_are_tensorflows() -> None:
    import tensorflow_text as tf_text
    from keras_hub.src.tokenizers.word_piece_tokenizer import PUNCTUATION_REGEX, WHITESPACE_REGEX
    from pairlift import characters

    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    tensor = tf.constant(every)

    def matches(pattern: str) -> list[bool]:
        return [not text for text in tf.strings.regex_replace(tensor, pattern, "").numpy().tolist()]

    for pattern, ours in (
        (r"\p{Mn}", characters.is_mark), (PUNCTUATION_REGEX, characters.is_punctuation),
        (WHITESPACE_REGEX, characters.is_separator), (r"\p{L}", characters.is_letter), (r"\p{N}", characters.is_number),
    ):  # fmt: skip
        wrong = [hex(ord(c)) for c, m in zip(every, matches(pattern), strict=True) if m != ours(c)]
        assert wrong == [], pattern
    for theirs, ours_of in (
        (tf_text.case_fold_utf8(tensor), characters.case_fold),
        (tf_text.normalize_utf8(tensor, "NFD"), characters.decompose),
    ):
        decoded = [text.decode() for text in theirs.numpy().tolist()]
        assert [hex(ord(c)) for c, t in zip(every, decoded, strict=True) if ours_of(c) != t] == []


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_lone_surrogate_is_an_error_and_no_guess(family: str) -> None:
    from models import make_classifier

    encoder = PairEncoder(read_keras_preprocessor(make_classifier(family).preprocessor))
    with pytest.raises(UnicodeEncodeError):
        encoder.encode([("a \ud800 b", "c")])
