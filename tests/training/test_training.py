"""Training writes a run that Keras, the export and the runner all read alike."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import Run
from models import bert_vocabulary, make_classifier, raw_text_logits, roberta_vocabulary
from pairlift import Scorer
from pairlift.errors import InputError, UsageError
from pairlift.model.scorer import softmax
from pairlift_training.data import read_data, split_rows

FIELDS = ("hypothesis", "premise")
QUICK = ("--epochs", "1", "--sequence-length", "24", "--quiet")
LABELS = ("yes", "no", "maybe")
FILES = (
    "MODEL_CARD.md", "confusion_matrix.png", "history.csv", "learning_curve.png", "learning_rate.png", "model.keras",
    "run.json",
)  # fmt: skip


def write_pairs(path: Path, rows: int = 400) -> Path:
    """Write pairs whose label is the second word of the premise, under labels of the user's."""
    lines = []
    for i in range(rows):
        label = LABELS[i % 3]
        word = {"yes": "man", "no": "dog", "maybe": "house"}[label]
        lines.append(
            {"premise": f"the {word} is {'red' if i % 2 else 'blue'} {i}", "hypothesis": "a boy runs", "label": label}
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.keras
def test_label_order_survives_from_training_to_scores(pairlift: Run, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl")
    trained = pairlift(
        "train", data, tmp_path / "run", "--labels", "maybe,yes,no", "--validation", data, "--epochs", 12, "--learning-rate", 3e-3,
        "--sequence-length", 24, "--batch-size", 32, "--quiet",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "validation: accuracy 1.0000" in trained.stdout
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(FILES)
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert (run["backend"], run["labels"], run["fields"]) == ("jax", ["maybe", "yes", "no"], list(FIELDS))
    exported = pairlift("export", tmp_path / "run", tmp_path / "bundle")
    assert exported.returncode == 0, exported.stderr

    assert pairlift("score", tmp_path / "bundle", data, tmp_path / "out.csv").returncode == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[3:] == ["prediction", "p_maybe", "p_yes", "p_no"]
    assert all(row["prediction"] == row["label"] for row in rows)
    of_run, of_bundle = (
        json.loads(pairlift("evaluate", tmp_path / name, data, "--json").stdout) for name in ("run", "bundle")
    )
    assert of_run["confusion"] == of_bundle["confusion"]

    model = keras.models.load_model(tmp_path / "run/model.keras")
    pairs = [("a boy runs", "the man is red"), ("", "straße, café"), ("x " * 40, "y " * 40)]
    scores = Scorer.open(tmp_path / "bundle").score(pairs)
    np.testing.assert_allclose(scores, softmax(raw_text_logits(model, pairs)), atol=1e-5)


@pytest.mark.keras
def test_tensorflow_trains_too(pairlift: Run, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", 60)
    done = pairlift("train", data, tmp_path / "run", "--validation", data, *QUICK, "--backend", "tensorflow")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["backend"] == "tensorflow"
    metrics = json.loads(pairlift("evaluate", tmp_path / "run", data, "--json").stdout)
    assert metrics["confusion"] == run["metrics"]["validation"]["confusion"], "evaluated on JAX"


@pytest.mark.keras
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_local_preset_is_fine_tuned(pairlift: Run, tmp_path: Path, family: str) -> None:
    make_classifier(family, length=24).save_to_preset(str(tmp_path / "preset"))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f'family = "{family}"\nsequence_length = 24\nepochs = 1\n')
    data = write_pairs(tmp_path / "pairs.jsonl", 60)
    done = pairlift(
        "train",
        data,
        tmp_path / "run",
        "--validation",
        data,
        "--recipe",
        recipe,
        "--preset",
        tmp_path / "preset",
        "--quiet",
    )
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["architecture"] == f"{family.capitalize()}TextClassifier"
    too_long = pairlift(
        "train", data, tmp_path / "long", "--recipe", recipe, "--preset", tmp_path / "preset", "--sequence-length", 25
    )
    assert too_long.returncode == 2
    assert "takes up to 24 tokens, found sequence length 25; add --sequence-length 24" in too_long.stderr


@pytest.mark.keras
@pytest.mark.slow
def test_a_roberta_from_scratch_takes_a_vocabulary_of_the_users(pairlift: Run, tmp_path: Path) -> None:
    vocabulary, merges = roberta_vocabulary()
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    data = write_pairs(tmp_path / "pairs.jsonl", 60)
    common = ("train", data, tmp_path / "run", "--validation", data, "--recipe", "roberta_scratch", *QUICK)
    refused = pairlift(*common)
    assert refused.returncode == 2
    assert "needs --vocabulary vocab.json and --merges merges.txt" in refused.stderr
    done = pairlift(*common, "--vocabulary", tmp_path / "vocab.json", "--merges", tmp_path / "merges.txt")
    assert done.returncode == 0, done.stderr


@pytest.mark.keras
def test_a_bert_from_scratch_takes_a_vocabulary_of_the_users(pairlift: Run, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(bert_vocabulary()) + "\n")
    data = write_pairs(tmp_path / "pairs.jsonl", 60)
    done = pairlift(
        "train", data, tmp_path / "run", "--validation", data, "--vocabulary", tmp_path / "vocab.txt", *QUICK
    )
    assert done.returncode == 0, done.stderr
    assert keras.models.load_model(tmp_path / "run/model.keras").preprocessor.tokenizer.vocabulary == bert_vocabulary()
    with (tmp_path / "run/model.keras").open("ab") as file:
        file.write(b"x")
    altered = pairlift("export", tmp_path / "run", tmp_path / "bundle")
    assert altered.returncode == 3
    assert "altered since the training" in altered.stderr


@pytest.mark.keras
def test_a_saved_model_is_reloaded_evaluated_alike_and_trains_on(pairlift: Run, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", 60)
    with data.open("a") as file:
        file.write("{broken\n")
    done = pairlift("train", data, tmp_path / "run", "--validation", data, "--learning-rate", 3e-3, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "train: 1 row left out: bad_json 1" in done.stdout.splitlines()
    run = json.loads((tmp_path / "run/run.json").read_text())
    model = keras.models.load_model(tmp_path / "run/model.keras")
    rows = read_data(str(data), FIELDS)
    texts = tuple(np.array([pair[i] for pair in rows.pairs], object) for i in (0, 1))
    truth = np.array([run["labels"].index(label) for label in rows.labels])
    loss, accuracy = model.evaluate(texts, truth, batch_size=16, verbose=0)
    assert accuracy == pytest.approx(run["metrics"]["validation"]["accuracy"], abs=1e-6)
    assert loss == pytest.approx(run["metrics"]["validation"]["log_loss"], abs=1e-4)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    # KerasHub makes a data set of the arrays, and Keras shuffles none.
    model.fit(texts, truth, batch_size=16, epochs=1, shuffle=False, verbose=0)
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    assert not any(np.array_equal(b, a) for b, a in zip(before, after, strict=True))


def test_snlis_own_columns_are_found_and_rows_without_a_label_are_counted(tmp_path: Path) -> None:
    labels = ["neutral", "-", "entailment", "contradiction", ""]
    lines = [
        json.dumps({"gold_label": label, "sentence1": f"p{i}", "sentence2": f"h{i}"}) for i, label in enumerate(labels)
    ]
    (tmp_path / "snli.jsonl").write_text("\n".join([*lines, "{broken"]))
    rows = read_data(str(tmp_path / "snli.jsonl"), FIELDS)
    assert rows.pairs == [("h0", "p0"), ("h2", "p2"), ("h3", "p3")]
    assert rows.filtered == {"bad_json": 1, "no_label": 2}


def test_a_premise_stands_on_one_side_of_the_split(tmp_path: Path) -> None:
    lines = [json.dumps({"premise": f"p{i % 200}", "hypothesis": f"h{i}", "label": "neutral"}) for i in range(1000)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    train, held = split_rows(read_data(str(tmp_path / "a.jsonl"), FIELDS), place=1, share=0.2)
    assert len(train.pairs) + len(held.pairs) == 1000
    assert 100 < len(held.pairs) < 300
    assert not {p for _, p in train.pairs} & {p for _, p in held.pairs}


def test_tfds_is_read_by_its_own_splits_and_label_names(monkeypatch: pytest.MonkeyPatch) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    from pairlift_training.tfds import load as load_split

    asked, load, as_numpy = [], tfds.load, tfds.as_numpy

    def watched(name: str, **options: Any) -> Any:
        asked.append((name, options["split"]))
        return load(name, **options)

    def unlabelled(data: Any) -> Any:
        for i, row in enumerate(as_numpy(data)):
            yield {**row, "label": -1 if i < 10 else row["label"]}

    monkeypatch.setattr(tfds, "load", watched)
    monkeypatch.setattr(tfds, "as_numpy", unlabelled)
    with tfds.testing.mock_data(num_examples=30):
        found = load_split("snli", "train[:20%]", FIELDS)
        rows = list(found.rows)
    assert asked == [("snli", "train[:20%]")]
    assert found.names == ("entailment", "neutral", "contradiction")
    assert [label for _, label in rows[:10]] == [-1] * 10
    assert {label for _, label in rows[10:]} <= {0, 1, 2}
    assert all(isinstance(first, str) and isinstance(second, str) for (first, second), _ in rows)


def test_a_tfds_data_set_that_cannot_be_loaded_is_an_input_error() -> None:
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(InputError, match=r"tfds:no_such_set\[train\]: TensorFlow Datasets cannot load it"):
        read_data("tfds:no_such_set", FIELDS)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("sample:nli[dev]", UsageError, "expected sample:nli, with the split train, validation, test"),
        ("sample:mnli", UsageError, "expected sample:nli"),
        ("tfds:", UsageError, "expected tfds:NAME"),
        ("none.csv", InputError, "no such file or directory"),
    ],
)
def test_data_that_is_not_there_is_named(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("[", r"\[")):
        read_data(name, FIELDS)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.csv", "run"), 3, "missing.csv: no such file or directory"),
        (("pairs.jsonl", "run", "--labels", "yes,no"), 3, "unknown label 'maybe' in 20 rows, expected one of yes, no"),
        (("pairs.jsonl", "taken"), 7, "holds no run.json, so pairlift does not replace it"),
        (("pairs.jsonl", "no/run"), 2, "the folder no does not exist; make it first"),
        (("pairs.jsonl", "run", "--recipe", "best"), 2, "recipe 'best': expected one of bert_scratch"),
        (("pairs.jsonl", "run", "--preset", "./nowhere"), 3, "preset './nowhere': KerasHub cannot load it"),
        (("empty.csv", "run"), 3, "the file is empty"),
        (("unlabelled.csv", "run"), 2, "no label column 'label'; found premise, hypothesis"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    pairlift: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 60)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "unlabelled.csv").write_text("premise,hypothesis\na,b\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/precious").write_text("x")
    done = pairlift("train", *arguments, "--quiet", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.csv", "pairs.jsonl", "taken", "unlabelled.csv"]
