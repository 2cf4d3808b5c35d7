"""The runner's ids, masks and segment ids are KerasHub's in its graph path, for any two strings."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from typing import Any

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from conftest import CORPUS, read_vocabulary
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from models import bert_vocabulary, roberta_vocabulary
from pairlift.encoding.encoder import Pair, PairEncoder, read_keras_preprocessor
from pairlift_export.hard import HARD_TEXTS, hard_pairs

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


SEED = 20260  # recorded so that a run can be repeated; another seed is other pairs
generated = pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])

# Hypothesis draws strings of single characters fast and lists of strings slowly, so each troublesome piece has a character
# of the private use area to stand for it while it is drawn.
_PIECES = [*HARD_TEXTS, "\u0300", "\u0345", "\u034f", "\u1100\u1161", "\u0134A", "'s", "  ", "\n"]
_STAND_INS = {0xE000 + i: piece for i, piece in enumerate(_PIECES)}
_ASCII = "".join(map(chr, range(0x20, 0x7F))) + 60 * " "
_TEXTS = st.tuples(
    st.text("".join(map(chr, _STAND_INS)) + _ASCII, max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text(st.characters(max_codepoint=0x2FFF), max_size=4),
).map(lambda parts: "".join(parts).translate(_STAND_INS))


@functools.cache
def generated_pairs(count: int) -> list[Pair]:
    """Return different pairs that hypothesis draws from all of Unicode, the hard texts among them, from the seed."""
    found: dict[Pair, None] = {}

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=20, max_size=20))
    def collect(pairs: list[Pair]) -> None:
        found.update(dict.fromkeys(pairs))
        if len(found) >= count:
            raise StopIteration

    with contextlib.suppress(StopIteration):
        collect()
    return list(found)[:count]


def real_roberta() -> Any:
    """Return RoBERTa's own tokenizer."""
    merges = (CORPUS / "vocab/roberta_merges.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = json.loads((CORPUS / "vocab/roberta_vocab.json").read_text())
    return keras_hub.models.RobertaTokenizer(vocabulary=vocabulary, merges=merges)


@generated
@pytest.mark.corpus
def test_bert_is_exact_on_generated_pairs_and_every_option(count: int) -> None:
    pairs = generated_pairs(count)
    assert len(pairs) == count
    for i, options in enumerate(BERT_OPTIONS):
        tokenizer = keras_hub.models.BertTokenizer(vocabulary=read_vocabulary(), **options)
        assert_equal(tokenizer, [*HARD, *(pairs if i == 0 else pairs[i::5])], LENGTHS[:1])


@generated
@pytest.mark.corpus
def test_roberta_is_exact_on_generated_pairs(count: int) -> None:
    pairs = generated_pairs(count)
    assert len(pairs) == count
    assert_equal(real_roberta(), [*HARD, *pairs], LENGTHS[:1])


def test_the_hard_corpus_is_large_and_repeats_nothing() -> None:
    assert len(HARD_TEXTS) == len(set(HARD_TEXTS)) >= 300


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
    from pairlift.encoding import characters

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
