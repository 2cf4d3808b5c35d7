"""Recipes: how a model is made and fitted, as TOML files shipped with the package."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pairlift import record
from pairlift.errors import RecordError, UsageError

FAMILIES = ("bert", "roberta")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a training run but the data.

    Attributes:
        name: The recipe's name.
        family: `bert` or `roberta`.
        preset: A KerasHub preset's name or a local preset directory, or None for a model from scratch.
        layers, width, heads: The model from scratch; its feed-forward layers are four times as wide.
        dropout: Of the model from scratch.
        lowercase: Whether the tokenizer from scratch folds case (BERT).
        sequence_length: Most tokens of a row.
        batch_size: Rows of a step.
        epochs: Passes over the data.
        learning_rate: The highest.
        schedule: `constant`, or `triangular`: from 0 up over the warm-up, then linearly to 0.
        warmup: Share of all steps (triangular).
        weight_decay: Of AdamW; 0 is Adam.
        precision: Keras dtype policy while training.
        seed: Of initial weights, shuffling and dropout.
    """

    format: int = 1
    name: str
    family: str = "bert"
    preset: str | None = None
    layers: int = 2
    width: int = 128
    heads: int = 2
    dropout: float = 0.1
    lowercase: bool = True
    sequence_length: int = 128
    batch_size: int = 32
    epochs: int = 3
    learning_rate: float = 1e-4
    schedule: str = "triangular"
    warmup: float = 0.2
    weight_decay: float = 0.01
    precision: str = "float32"
    seed: int = 1


def recipe_names() -> list[str]:
    """Return the shipped recipes."""
    folder = resources.files("pairlift_training") / "recipes"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name: str, overrides: dict[str, Any]) -> Recipe:
    """Return a shipped recipe by name, or one from a TOML file, with overrides.

    Raises:
        UsageError: No such recipe, or a value that it cannot have.
    """
    shipped = resources.files("pairlift_training") / "recipes" / f"{name}.toml"
    if name in recipe_names():
        text = shipped.read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise UsageError(f"recipe {name!r}: expected one of {', '.join(recipe_names())}, or a TOML file")
    try:
        values: dict[str, Any] = {"name": Path(name).stem, "format": 1, **tomllib.loads(text)}
        recipe = record.load(Recipe, record.dump({**values, **overrides}), f"recipe {name}")
    except (tomllib.TOMLDecodeError, RecordError) as error:
        raise UsageError(f"{error}") from None
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    for what, found, good, expected in (
        ("family", recipe.family, recipe.family in FAMILIES, " or ".join(FAMILIES)),
        ("schedule", recipe.schedule, recipe.schedule in ("constant", "triangular"), "constant or triangular"),
        ("warmup", recipe.warmup, 0 <= recipe.warmup < 1, "a share from 0 up to 1"),
        ("epochs", recipe.epochs, recipe.epochs >= 1, "1 or more"),
        ("batch_size", recipe.batch_size, recipe.batch_size >= 1, "1 or more"),
        ("sequence_length", recipe.sequence_length, 5 <= recipe.sequence_length <= 512, "5 to 512"),
        ("learning_rate", recipe.learning_rate, recipe.learning_rate > 0, "more than 0"),
        ("width", recipe.width, recipe.width % recipe.heads == 0, f"a multiple of heads ({recipe.heads})"),
    ):
        if not good:
            raise UsageError(f"recipe {recipe.name}: {what}: found {found!r}, expected {expected}")
