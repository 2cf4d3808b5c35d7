"""Recipes: how a model is made and fitted, as TOML files shipped with the package."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any

from pairlift import record
from pairlift.errors import RecordError, UsageError
from pairlift_training.choices import FAMILIES, KEPT, OPTIMIZERS, PRECISIONS, SCHEDULES

KNOWN = (
    ("family", FAMILIES),
    ("optimizer", OPTIMIZERS),
    ("schedule", SCHEDULES),
    ("precision", PRECISIONS),
    ("keep", KEPT),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that determines a training run, except the data.

    Attributes:
        name: The recipe's name.
        family: `bert` or `roberta`.
        preset: A KerasHub preset's name or a local preset directory, or None for a model from scratch.
        layers, width, heads: The size of a model from scratch; its feed-forward layers are four times as wide.
        dropout: The dropout rate of a model from scratch.
        lowercase: Whether a tokenizer from scratch folds case (BERT).
        sequence_length: The most tokens of a row.
        batch_size: The number of rows in an update.
        epochs: The number of passes over the data.
        optimizer: `adam` or `adamw`.
        learning_rate: The highest learning rate.
        schedule: `constant`, or `triangular`: from 0 up over the warm-up, then linearly to 0.
        warmup: The share of all updates in which the rate goes up (triangular).
        weight_decay: The weight decay of AdamW, on kernels and embeddings.
        clip_norm: The largest norm of all gradients together; 0 does not clip.
        accumulate: The number of parts in which a batch goes through the network, for a GPU with little memory; the
            result is the same as with one part.
        precision: `auto` (mixed_bfloat16 on an accelerator, else float32), `float32` or `mixed_bfloat16`.
        keep: `last` or `best`: the epoch whose weights are kept, by validation accuracy.
        patience: Epochs without a better validation accuracy until it stops; 0 never stops early.
        seed: The seed of initial weights, shuffling and dropout.
        expected_accuracy: The test accuracy that somebody measured on the data that `source` names, or None.
        source: Where the expected accuracy is from.
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
    optimizer: str = "adamw"
    learning_rate: float = 1e-4
    schedule: str = "triangular"
    warmup: float = 0.2
    weight_decay: float = 0.01
    clip_norm: float = 0.0
    accumulate: int = 1
    precision: str = "auto"
    keep: str = "last"
    patience: int = 0
    seed: int = 1
    expected_accuracy: float | None = None
    source: str | None = None


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    folder = resources.files("pairlift_training") / "recipes"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name: str, overrides: dict[str, Any]) -> Recipe:
    """Return a shipped recipe by name, or one from a TOML file, with overrides.

    Raises:
        UsageError: There is no such recipe, or it has an invalid value.
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
        *((name, getattr(recipe, name), getattr(recipe, name) in known, " or ".join(known)) for name, known in KNOWN),
        ("warmup", recipe.warmup, 0 <= recipe.warmup < 1, "a share from 0 up to 1"),
        ("epochs", recipe.epochs, recipe.epochs >= 1, "1 or more"),
        ("batch_size", recipe.batch_size, recipe.batch_size >= 1, "1 or more"),
        ("sequence_length", recipe.sequence_length, 5 <= recipe.sequence_length <= 512, "5 to 512"),
        ("learning_rate", recipe.learning_rate, 0 < recipe.learning_rate < inf, "more than 0"),
        ("weight_decay", recipe.weight_decay, 0 <= recipe.weight_decay < 1, "from 0 up to 1"),
        ("weight_decay", recipe.weight_decay, recipe.optimizer != "adam" or not recipe.weight_decay, "0 with adam"),
        ("seed", recipe.seed, recipe.seed >= 0, "0 or more"),
        ("clip_norm", recipe.clip_norm, 0 <= recipe.clip_norm < inf, "0 or more"),
        ("patience", recipe.patience, recipe.patience >= 0, "0 or more"),
        (
            "accumulate",
            recipe.accumulate,
            recipe.accumulate >= 1 and recipe.batch_size % recipe.accumulate == 0,
            f"a divisor of batch_size ({recipe.batch_size})",
        ),
        ("width", recipe.width, recipe.width % recipe.heads == 0, f"a multiple of heads ({recipe.heads})"),
    ):
        if not good:
            raise UsageError(f"recipe {recipe.name}: {what}: found {found!r}, expected {expected}")
