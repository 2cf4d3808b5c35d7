"""The scorer gives each pair its own probabilities, whatever stands beside it."""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import ChainMap, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
from conftest import SMALL_BUNDLE, score_small
from pairlift import Bundle, Result, Scorer
from pairlift.aws.function import Function
from pairlift.aws.settings import Settings
from pairlift.encoding import words
from pairlift.errors import AgreementError, ChangedError, RowError, UsageError
from pairlift.formats.text import format_scores
from pairlift.jobs import job
from pairlift.model.golden import CPU_MARGIN, read_golden, replay
from pairlift.model.windows import BATCH_TOKENS, cut_batches
from pairlift.ray.dataset import DatasetScorer

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


class Named(NamedTuple):
    premise: str
    label: str
    hypothesis: str


class Other(NamedTuple):
    one: str
    other: str


RIGHT = {"premise": "the dog runs", "hypothesis": "a cat"}


def database_row() -> sqlite3.Row:
    """Return a row of a database."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    row: sqlite3.Row = database.execute("select 'the dog runs' as premise, 'a cat' as hypothesis").fetchone()
    return row


@pytest.mark.parametrize(
    "pair",
    [
        RIGHT,
        MappingProxyType(RIGHT),
        ChainMap({"premise": "the dog runs"}, {"hypothesis": "a cat"}),
        defaultdict(str, RIGHT),
        SimpleNamespace(**RIGHT),
        Named("the dog runs", "neutral", "a cat"),
        database_row(),
        np.array([("the dog runs", "a cat")], [("premise", "U20"), ("hypothesis", "U20")])[0],
        next(pandas.DataFrame([RIGHT]).itertuples()),
        pandas.Series(RIGHT),
        ("a cat", "the dog runs"),
        ["a cat", "the dog runs"],
        Other("a cat", "the dog runs"),
        np.array(["a cat", "the dog runs"]),
        pandas.Series(["a cat", "the dog runs"]),
    ],
    ids=lambda pair: type(pair).__name__,
)
def test_a_pair_is_read_by_names_where_it_has_them(scorer: Scorer, pair: object) -> None:
    assert scorer.score([pair]).tobytes() == scorer.score([("a cat", "the dog runs")]).tobytes()
    assert isinstance(scorer.results([pair])[0], Result)


BAD_PAIRS = [
    (("a", 1), "not_text: premise: found int, expected a string"),
    (("a", None), "not_text: premise: found null, expected a string"),
    (("\ud800", "b"), "lone_surrogate: hypothesis: a lone surrogate at character 0"),
    (("a",), "not_a_pair: found tuple of 1, expected two texts, or an object with hypothesis and premise"),
    (["a", "b", "c"], "not_a_pair: found list of 3, expected two texts, or an object with hypothesis and premise"),
    ("ab", "not_a_pair: found str, expected two texts, or an object with hypothesis and premise"),
    (b"ab", "not_a_pair: found bytes, expected two texts, or an object with hypothesis and premise"),
    ({"a", "b"}, "not_a_pair: found set, expected two texts, or an object with hypothesis and premise"),
    (None, "not_a_pair: found NoneType, expected two texts, or an object with hypothesis and premise"),
    ({"premise": "a"}, "missing_field: no key 'hypothesis'"),
    (defaultdict(str, {"hypothesis": "a"}), "missing_field: no key 'premise'"),
]


@pytest.mark.parametrize(("pair", "message"), BAD_PAIRS)
def test_what_is_not_a_pair_of_texts_is_a_row_error(scorer: Scorer, pair: object, message: str) -> None:
    reason, detail = message.split(": ", 1)
    for call in (scorer.score, scorer.logits, scorer.predict, scorer.token_ids):
        with pytest.raises(RowError) as caught:
            call([("a", "b"), pair])
        assert str(caught.value) == f"{reason}: pair 1: {detail}"
    assert str(scorer.results([pair])[0]) == message


def test_results_have_the_scores_of_each_pair_or_its_reason(scorer: Scorer) -> None:
    good = random_pairs(len(BAD_PAIRS) + 1)
    found = scorer.results([each for pair, bad in zip(good, BAD_PAIRS, strict=False) for each in (pair, bad[0])])
    assert [str(error) for error in found[1::2]] == [message for _, message in BAD_PAIRS]
    assert all(isinstance(error, RowError) and error.__traceback__ is None for error in found[1::2])
    for result, scores in zip(found[::2], scorer.score(good[:-1]), strict=True):
        assert isinstance(result, Result)
        assert list(result.probabilities) == list(scorer.labels)
        assert [np.float32(p) for p in result.probabilities.values()] == scores.tolist()
        assert [str(p) for p in result.probabilities.values()] == format_scores(scores[None])[0]
        assert result.prediction == scorer.labels[int(scores.argmax())]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found[0].prediction = "x"  # type: ignore[union-attr,misc]
    assert scorer.results([]) == []


def test_what_stands_after_nul_is_not_read_by_score_and_is_an_error_of_results(scorer: Scorer) -> None:
    pair = ("a dog", "a cat\0tail")
    assert scorer.score([pair]).tobytes() == scorer.score([("a dog", "a cat")]).tobytes()
    assert str(scorer.results([pair])[0]).startswith("nul: premise: NUL at character 5")


def score_in_each_way(scorer: Scorer, dataset: DatasetScorer, texts: list[str], folder: Path) -> list[list[str]]:
    """Return what each way of scoring says of pairs of a text and a cat: a prediction, or reason and detail."""
    batch = {"premise": np.array(texts, object), "hypothesis": np.array(["a cat"] * len(texts), object)}
    pairs = [{"premise": text, "hypothesis": "a cat"} for text in texts]
    (folder / "in.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    score_small(scorer, folder / "in.jsonl", folder / "out.jsonl")
    of_file = {}
    for name in ("out.jsonl", "out.jsonl.rejects.jsonl"):
        for line in map(json.loads, (folder / name).read_text().splitlines()):
            number = line["row"] if "row" in line else texts.index(line["premise"])
            of_file[number] = line.get("prediction") or f"{line['reason']}: {line['detail']}"
    answer = Function(scorer, Settings(bundle=str(SMALL_BUNDLE)))({"pairs": pairs})["results"]
    found = dataset(batch)
    return [
        [of_file[i] for i in range(len(texts))],
        [each.prediction if isinstance(each, Result) else str(each) for each in scorer.results(pairs)],
        [each.get("prediction") or "{reason}: {detail}".format(**each["error"]) for each in answer],
        [p or e for p, e in zip(found["prediction"], found["error"], strict=True)],
    ]


@pytest.mark.parametrize("bad", [[np.nan, 0, 0], [-np.inf, 0, 0], [3e38, 0, 0]])
def test_a_score_that_is_not_finite_has_one_reason_whatever_scores_it(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: list[float]
) -> None:
    """By the temperature, the last logit becomes infinite, and its probability is not a number."""
    dataset = DatasetScorer(str(SMALL_BUNDLE))
    monkeypatch.setattr(job, "replay", lambda scorer, rows: None)
    for each in (scorer, dataset._scorer):
        monkeypatch.setattr(each, "temperature", 0.5)
        run = each.run
        monkeypatch.setattr(
            each, "run", lambda batch, run=run: run(batch) * 0 + np.float32(bad if batch.token_ids.shape[1] > 12 else 1)
        )
    expected = [
        scorer.labels[0],
        "not_finite: the model gave a score that is not a finite number",
        "nul: premise: NUL at character 1, where a tokenizer would stop reading",
        scorer.labels[0],
    ]
    found = score_in_each_way(scorer, dataset, ["the dog", "dog " * 12, "a\0b", "the man"], tmp_path)
    assert found == [expected] * 4


def test_a_closed_scorer_says_so(bundle: Path) -> None:
    with Scorer.open(bundle) as scorer:
        scorer.score([("a", "b")])
    scorer.close()
    for call in (scorer.results, scorer.score, scorer.predict, scorer.logits, scorer.token_ids):
        for pairs in ([("a", "b")], [], ["no pair"]):
            with pytest.raises(UsageError, match=r"^this scorer is closed; open another one$"):
                call(pairs)
    with pytest.raises(UsageError, match="this scorer is closed"):
        scorer.submit([("a", "b")])


def test_a_call_whose_scorer_is_closed_meanwhile_says_so(bundle: Path) -> None:
    scorer, began, go_on = Scorer.open(bundle, threads=1), threading.Event(), threading.Event()
    run = scorer.run

    def wait(batch: Any) -> Any:
        began.set()
        go_on.wait(60)
        return run(batch)

    scorer.run = wait  # type: ignore[method-assign]
    pending = scorer.submit(random_pairs(500))
    began.wait(60)
    closing = threading.Thread(target=scorer.close)
    closing.start()
    while not all(future.cancelled() for future in pending._futures[1:]):
        time.sleep(0.01)
    go_on.set()
    with pytest.raises(UsageError, match="this scorer is closed"):
        pending.wait()
    closing.join()


FORKED = """
import os, sys
from pairlift import Scorer
from pairlift.errors import UsageError

scorer = Scorer.open(sys.argv[1], threads=2)
pairs = [("a dog %d" % (i % 50), "the cat") for i in range(3000)]
expected = scorer.score(pairs).tobytes()
for end in ("return", "close", "fork again"):
    child = os.fork()
    if child == 0:
        if end == "fork again" and os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        good = scorer.score(pairs).tobytes() == expected
        if end == "close":
            scorer.close()
        sys.exit(0 if good else 3)
    assert os.waitpid(child, 0)[1] == 0, end
assert scorer.score(pairs).tobytes() == expected, "a child's end is not its parent's"
scorer.close()
child = os.fork()
if child == 0:
    try:
        scorer.score(pairs)
    except UsageError:
        sys.exit(0)
    sys.exit(4)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_a_forked_child_scores_with_its_parents_scorer() -> None:
    command = [sys.executable, "-c", FORKED, str(SMALL_BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_scorer_is_pickled_by_way_of_its_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = random_pairs(20)
    monkeypatch.chdir(bundle.parent)
    with Scorer.open(bundle.name, threads=3) as scorer:
        data, expected = pickle.dumps(scorer), scorer.score(pairs).tobytes()
    assert len(data) < 1000
    monkeypatch.chdir("/")
    with pickle.loads(data) as again:
        assert again.score(pairs).tobytes() == expected
        assert (again.variant, again.threads, again.bundle.digest) == ("fp32", 3, scorer.bundle.digest)
    rewrite(bundle, "golden.jsonl", b"")
    with pytest.raises(ChangedError, match=r"bundle: is not the bundle of the pickled scorer \(digest "):
        pickle.loads(data)


def test_results_and_row_errors_go_to_another_process_as_they_are(scorer: Scorer) -> None:
    result, error = pickle.loads(pickle.dumps(scorer.results([("a", "b"), "ab"])))
    assert [result] == scorer.results([("a", "b")])
    assert isinstance(error, RowError)
    assert (error.reason, str(error)) == ("not_a_pair", str(scorer.results(["ab"])[0]))


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
    with pytest.raises(AgreementError, match="golden replay: token ids differ from those of the export"):
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


def test_several_threads_may_call_one_scorer(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each forgets words that another is about to look up."""
    draw = random.Random(1)
    pairs = [(" ".join("".join(draw.choices("abcdefgh", k=4)) for _ in range(5)), "the dog") for _ in range(400)]
    jobs, interval = [pairs[i::4] for i in range(4)], sys.getswitchinterval()
    expected = [scorer.token_ids(job) for job in jobs]
    monkeypatch.setattr(words, "KEPT_WORDS", 50)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(scorer.token_ids, jobs)) == expected
    finally:
        sys.setswitchinterval(interval)


def test_scores_are_written_as_the_shortest_decimals_of_their_float32() -> None:
    values = np.array([[0.1, 1 / 3], [1e-7, 1.0]], np.float32)
    assert [[np.float32(text) for text in row] for row in format_scores(values)] == values.tolist()
    assert format_scores(values)[0] == ["0.1", "0.33333334"]
    assert format_scores(values[:0]) == []
