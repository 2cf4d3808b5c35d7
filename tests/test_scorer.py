"""The scorer gives each pair its own probabilities, whatever stands beside it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from pairlift import Bundle, Scorer, words
from pairlift.errors import AgreementError, RowError, UsageError
from pairlift.formats.text import format_scores
from pairlift.golden import CPU_MARGIN, read_golden, replay
from pairlift.scorer import BATCH_TOKENS, cut_batches

WORDS = [
    "a",
    "the",
    "man",
    "woman",
    "dog",
    "cat",
    "is",
    "not",
    "in",
    "on",
    "park",
    "house",
    "red",
    "blue",
    "two",
    "sleeps",
    "runs",
    "eats",
    "straße",
    "ＦＵＬＬ",
]


def random_pairs(count: int, seed: int = 3) -> list[tuple[str, str]]:
    """Return pairs of 0 to 12 words."""
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(0, 12)))

    return [(text(), text()) for _ in range(count)]


def test_rows_sum_to_one_over_the_classes(bundle: Path) -> None:
    scores = Scorer.open(bundle).score(random_pairs(50))
    assert scores.shape == (50, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert abs(scores.sum(axis=0) - 1).min() > 0.1, "the tutorial's softmax(axis=0) would make the columns sum to one"


def test_a_pair_scores_the_same_alone_in_company_and_in_any_order(bundle: Path) -> None:
    scorer, pairs = Scorer.open(bundle), random_pairs(200)
    together = scorer.score(pairs)
    np.testing.assert_allclose(np.concatenate([scorer.score([pair]) for pair in pairs]), together, atol=1e-6)
    np.testing.assert_allclose(scorer.score(pairs[::-1])[::-1], together, atol=1e-6)


def test_the_number_of_threads_does_not_change_a_bit(bundle: Path) -> None:
    pairs = random_pairs(3000)
    one, four = Scorer.open(bundle, threads=1).score(pairs), Scorer.open(bundle, threads=4).score(pairs)
    assert one.tobytes() == four.tobytes()


def test_pairs_differ_in_their_scores(bundle: Path) -> None:
    assert len({row.tobytes() for row in Scorer.open(bundle).score(random_pairs(50))}) > 40


def test_named_fields_and_tuples_are_the_same(bundle: Path) -> None:
    scorer = Scorer.open(bundle)
    named = scorer.score([{"premise": "the dog runs", "hypothesis": "a cat"}])
    assert named.tobytes() == scorer.score([("a cat", "the dog runs")]).tobytes()
    assert named.tobytes() != scorer.score([("the dog runs", "a cat")]).tobytes()


def test_no_pairs_give_no_rows(bundle: Path) -> None:
    scorer = Scorer.open(bundle)
    assert scorer.score([]).shape == (0, 3)
    assert scorer.predict([]) == []


def test_predict_gives_label_names(bundle: Path) -> None:
    scorer = Scorer.open(bundle)
    pairs = random_pairs(20)
    assert scorer.predict(pairs) == [scorer.labels[i] for i in scorer.score(pairs).argmax(axis=1)]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("a", 1), "not_text: premise: found int, expected a string"),
        (("a", None), "not_text: premise: found null"),
        (("\ud800", "b"), "lone_surrogate: hypothesis: a lone surrogate at character 0"),
        (("a",), "not_a_pair: pair 0: expected two texts"),
        ({"premise": "a"}, "not_a_pair: pair 0: expected two texts, or a mapping with hypothesis and premise"),
    ],
)
def test_what_is_not_a_pair_of_texts_is_a_row_error(bundle: Path, pair: object, message: str) -> None:
    with pytest.raises(RowError) as caught:
        Scorer.open(bundle).score([pair])
    assert message in str(caught.value)


def test_an_unknown_variant_names_those_there_are(bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"variant 'int8': .* has fp32"):
        Scorer.open(bundle, "int8")


def test_the_golden_pairs_agree_here(bundle: Path) -> None:
    result = replay(Scorer.open(bundle))
    assert result.pairs == len(read_golden(Bundle.open(bundle))) == 64
    assert result.max_difference <= 1e-6


def rewrite(bundle: Path, name: str, data: bytes) -> None:
    """Change a file, and the manifest with it."""
    import hashlib

    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_text())
    for files in manifest["groups"].values():
        for file in files:
            if file["path"] == name:
                file.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_machine_that_disagrees_with_the_golden_pairs_is_told_so(bundle: Path) -> None:
    lines = [json.loads(line) for line in (bundle / "golden.jsonl").read_text().split("\n")[:-1]]
    first = lines[0]["probabilities"]["fp32"]
    lines[0]["probabilities"]["fp32"] = [first[0] + 3 * CPU_MARGIN, *first[1:]]
    rewrite(bundle, "golden.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    with pytest.raises(AgreementError, match=r"golden replay: variant fp32 differs by 3\.\d+e-05"):
        replay(Scorer.open(bundle))


def test_other_token_ids_than_at_the_export_are_told_so(bundle: Path) -> None:
    lines = [json.loads(line) for line in (bundle / "golden.jsonl").read_text().split("\n")[:-1]]
    lines[3]["token_ids"][1] += 1
    rewrite(bundle, "golden.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    with pytest.raises(AgreementError, match="golden replay: other token ids than at the export"):
        replay(Scorer.open(bundle))


def test_a_batch_holds_rows_of_one_width_and_every_row_is_in_one_batch() -> None:
    widths = np.array([8, 4, 600, 8, 4, 4, 2048] * 500)
    batches = list(cut_batches(widths))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(widths)))
    assert all(len(set(widths[rows])) == 1 for rows in batches)
    assert all(len(rows) * widths[rows[0]] <= BATCH_TOKENS or len(rows) == 1 for rows in batches)
    assert len(batches) == 1500 * 4 // 1024 + 1 + 1000 * 8 // 1024 + 1 + 500 + 500
    assert list(cut_batches(np.empty(0, np.int64))) == []


def test_words_that_were_forgotten_are_spelt_again(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [*random_pairs(100), ("x" * 500, "the dog")]
    expected = Scorer.open(bundle).token_ids(pairs)
    monkeypatch.setattr(words, "KEPT_WORDS", 3)
    monkeypatch.setattr(words, "KEPT_CHARACTERS", 2)
    assert Scorer.open(bundle).token_ids(pairs) == expected


def test_words_of_another_number_of_texts_are_refused() -> None:
    with pytest.raises(AssertionError, match="found the words of 1 texts, expected 2"):
        words.WordTable(lambda word: [7]).tokenize(["a", words.END], 2)


def test_scores_are_written_as_the_shortest_decimals_of_their_float32() -> None:
    values = np.array([[0.1, 1 / 3], [1e-7, 1.0]], np.float32)
    assert [[np.float32(text) for text in row] for row in format_scores(values)] == values.tolist()
    assert format_scores(values)[0] == ["0.1", "0.33333334"]
    assert format_scores(values[:0]) == []
