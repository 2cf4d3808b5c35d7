"""The shipped recipes are the tutorial's experiments under its own numbers, and every field gives way to an option."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pairlift.errors import UsageError
from pairlift_training.cli import train
from pairlift_training.recipe import Recipe, load_recipe, recipe_names

TUTORIAL = {
    "bert_tiny": ("bert_tiny_en_uncased", 1, "adam", 5e-5, "constant", 0.762),
    "bert_tiny_lr": ("bert_tiny_en_uncased", 1, "adam", 5e-5, "constant", 0.769),
    "bert_tiny_adamw": ("bert_tiny_en_uncased", 3, "adamw", 1e-4, "triangular", 0.789),
    "roberta_base": ("roberta_base_en", 1, "adam", 5e-5, "constant", 0.875),
}
OPTIONS = {
    "preset", "epochs", "batch_size", "sequence_length", "optimizer", "learning_rate", "schedule", "warmup", "weight_decay",
    "clip_norm", "accumulate", "precision", "keep", "patience", "seed",
}  # fmt: skip


@pytest.mark.parametrize("name", TUTORIAL)
def test_an_experiment_of_the_tutorial_has_its_numbers(name: str) -> None:
    recipe = load_recipe(name, {})
    found = (
        recipe.preset, recipe.epochs, recipe.optimizer, recipe.learning_rate, recipe.schedule, recipe.expected_accuracy,
    )  # fmt: skip
    assert found == TUTORIAL[name]
    assert (recipe.batch_size, recipe.sequence_length, recipe.keep, recipe.accumulate) == (16, 512, "last", 1)
    assert recipe.source is not None
    assert "keras.io" in recipe.source
    if recipe.schedule == "triangular":
        assert (recipe.warmup, recipe.weight_decay) == (0.2, 0.004)


@pytest.mark.keras
def test_the_default_of_the_tutorial_is_still_kerashubs() -> None:
    from models import make_classifier

    optimizer = make_classifier("bert").optimizer
    recipe = load_recipe("bert_tiny", {})
    assert type(optimizer).__name__ == "Adam"
    assert float(optimizer.learning_rate) == pytest.approx(recipe.learning_rate)


@pytest.mark.parametrize("name", ["bert_tiny_recommended", "roberta_base_recommended"])
def test_what_is_recommended_expects_nothing_that_nobody_has_measured(name: str) -> None:
    recipe = load_recipe(name, {})
    assert recipe.expected_accuracy is None
    assert recipe.keep == "best"
    assert recipe.preset == load_recipe(name.removesuffix("_recommended"), {}).preset


def test_every_field_that_decides_how_has_an_option() -> None:
    of_command = {option.name for option in train.params}
    assert of_command >= OPTIONS
    shape = {"format", "name", "family", "layers", "width", "heads", "dropout", "lowercase"}
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields - shape - {"expected_accuracy", "source"} == OPTIONS


def test_an_option_overrides_a_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Recipe] = []

    def note(name: str, overrides: dict[str, Any]) -> Recipe:
        seen.append(load_recipe(name, overrides))
        raise UsageError("far enough")

    monkeypatch.setattr("pairlift_training.recipe.load_recipe", note)
    given = [
        "--preset", "p", "--epochs", 7, "--batch-size", 24, "--sequence-length", 64, "--optimizer", "adamw",
        "--learning-rate", 2e-4, "--schedule", "triangular", "--warmup", 0.3, "--weight-decay", 0.02, "--clip-norm", 2,
        "--accumulate", 3, "--precision", "mixed_bfloat16", "--keep", "best", "--patience", 4, "--seed", 9,
    ]  # fmt: skip
    command = ["sample:nli", str(tmp_path / "run"), "--recipe", "bert_tiny", *map(str, given)]
    result = CliRunner().invoke(train, command)
    assert isinstance(result.exception, UsageError)
    changed = {name for name in OPTIONS if getattr(seen[0], name) != getattr(load_recipe("bert_tiny", {}), name)}
    assert changed == OPTIONS
    assert (seen[0].warmup, seen[0].patience, seen[0].keep) == (0.3, 4, "best")


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads(name: str) -> None:
    assert load_recipe(name, {}).name == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: found 0, expected 1 or more"),
        ({"family": "gpt"}, "family: found 'gpt', expected bert or roberta"),
        ({"learning_rate": "fast"}, "learning_rate: found str 'fast', expected float"),
        ({"sequence_length": 4096}, "sequence_length: found 4096, expected 5 to 512"),
        ({"optimizer": "sgd"}, "optimizer: found 'sgd', expected adam or adamw"),
        ({"optimizer": "adam"}, "weight_decay: found 0.01, expected 0 with adam"),
        ({"schedule": "cosine"}, "schedule: found 'cosine', expected constant or triangular"),
        ({"precision": "float16"}, "precision: found 'float16', expected auto or float32 or mixed_bfloat16"),
        ({"accumulate": 3}, "accumulate: found 3, expected a divisor of batch_size (64)"),
        ({"accumulate": 0}, "accumulate: found 0, expected a divisor of batch_size (64)"),
        ({"clip_norm": -1.0}, "clip_norm: found -1.0, expected 0 or more"),
        ({"keep": "first"}, "keep: found 'first', expected last or best"),
        ({"seed": -1}, "seed: found -1, expected 0 or more"),
        ({"patience": -1}, "patience: found -1, expected 0 or more"),
        ({"warmup": 1.0}, "warmup: found 1.0, expected a share from 0 up to 1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("sample", changes)
    assert message in str(caught.value)
