"""The optimiser of a recipe."""

from __future__ import annotations

from typing import Any

import keras
from pairlift_training.recipe import Recipe
from pairlift_training.schedule import TriangularSchedule


def build_optimizer(recipe: Recipe, updates: int) -> Any:
    """Return the recipe's optimiser for a run of that many updates."""
    options = {
        "learning_rate": build_schedule(recipe, updates) or recipe.learning_rate,
        "global_clipnorm": recipe.clip_norm or None,
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
    }
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(**options)
    optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def build_schedule(recipe: Recipe, updates: int) -> TriangularSchedule | None:
    """Return the recipe's schedule, or None if the rate is constant."""
    if recipe.schedule == "constant":
        return None
    return TriangularSchedule(recipe.learning_rate, int(updates * recipe.warmup), updates, recipe.accumulate)


def rate_of(recipe: Recipe, updates: int, update: int) -> float:
    """Return the learning rate of one update, counted from 0."""
    schedule = build_schedule(recipe, updates)
    return float(f"{float(schedule(update * recipe.accumulate)):.6g}") if schedule else recipe.learning_rate
