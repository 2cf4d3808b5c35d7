"""The embedded data set is the same each time, balanced, and says nothing through the hypothesis alone."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict

import pytest
from pairlift_training import sample
from pairlift_training.vocabulary import SPECIAL, derive_vocabulary

HYPOTHESIS_ONLY = 0.55
SPLITS = {name: sample.generate(name) for name in sample.SPLITS}


def test_it_is_the_same_each_time() -> None:
    text = "\n".join("\t".join(row) for row in SPLITS["test"])
    assert SPLITS["test"] == sample.generate("test")
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "c1e34e858bf0a8cf"


@pytest.mark.parametrize("split", sample.SPLITS)
def test_labels_are_balanced_within_each_template(split: str) -> None:
    rows = SPLITS[split]
    for turn in range(len(sample.TEMPLATES)):
        of_template = [row for i, row in enumerate(rows) if (i // 3) % len(sample.TEMPLATES) == turn]
        counts = Counter(label for _, _, label in of_template)
        assert len(set(counts.values())) == 1, counts


def test_no_pair_stands_twice() -> None:
    pairs = [row[:2] for rows in SPLITS.values() for row in rows]
    assert len(pairs) == len(set(pairs)) == sum(sample.SPLITS.values())


def score_one_text(place: int) -> float:
    """Return the test accuracy of naive Bayes over one text's words, or of its most frequent label if that is better."""
    words: dict[str, Counter[str]] = defaultdict(Counter)
    whole: dict[str, Counter[str]] = defaultdict(Counter)
    for row in SPLITS["train"]:
        words[row[2]].update(row[place].split())
        whole[row[place]][row[2]] += 1

    def bayes(text: str) -> str:
        def likelihood(label: str) -> float:
            total = sum(words[label].values()) + len(words[label])
            return sum(math.log((words[label][word] + 1) / total) for word in text.split())

        return max(sample.LABELS, key=likelihood)

    rows = SPLITS["test"]
    by_words = sum(bayes(row[place]) == row[2] for row in rows)
    by_text = sum(bool(whole[row[place]]) and whole[row[place]].most_common(1)[0][0] == row[2] for row in rows)
    return max(by_words, by_text) / len(rows)


def test_the_hypothesis_alone_says_next_to_nothing() -> None:
    assert score_one_text(1) <= HYPOTHESIS_ONLY


def test_all_hypotheses_are_seen_in_training() -> None:
    seen = {row[1] for row in SPLITS["train"]}
    assert {row[1] for row in SPLITS["test"]} <= seen, "so that the test above could not pass for want of data"


def test_the_vocabulary_is_sorted_and_spells_every_word() -> None:
    texts = [text for row in SPLITS["train"] for text in row[:2]]
    tokens = derive_vocabulary(texts, lowercase=True)
    assert tokens == derive_vocabulary(reversed(texts), lowercase=True)
    assert tuple(tokens[:5]) == SPECIAL
    words = [token for token in tokens[5:] if len(token.removeprefix("##")) > 1]
    assert words == sorted(words)
    assert "dog" in words
    assert "##g" in tokens
