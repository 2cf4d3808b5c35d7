"""A network's step does what training needs, under TensorFlow and under JAX alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from models import WORDS, make_classifier
from pairlift_training.batches import Encoded
from pairlift_training.classifier import has_logits, read_encoder
from pairlift_training.feed import Feed
from pairlift_training.network import Arrays, Network, make_network
from pairlift_training.optimizer import build_optimizer
from pairlift_training.recipe import Recipe, load_recipe
from pairlift_training.schedule import TriangularSchedule

pytestmark = pytest.mark.keras


def make_pairs(count: int) -> list[tuple[str, str]]:
    """Return different pairs of a few words."""
    rng = np.random.default_rng(3)
    return [(" ".join(rng.choice(WORDS, 3)), " ".join(rng.choice(WORDS, 4))) for _ in range(count)]


def make_recipe(**changes: Any) -> Recipe:
    return load_recipe(
        "sample", {"schedule": "constant", "batch_size": 8, "sequence_length": 16, "learning_rate": 1e-2, **changes}
    )


def prepare(recipe: Recipe, count: int = 64, dropout: float = 0.0, layers: int = 1) -> tuple[Network, Feed]:
    """Return a small network and a feed of pairs with labels drawn at random."""
    classifier = make_classifier("bert", layers=layers, dropout=dropout, backbone_dropout=dropout)
    data = Encoded(read_encoder(classifier), make_pairs(count))
    truth = np.random.default_rng(4).integers(0, 3, count)
    feed = Feed(data, truth, recipe.batch_size, recipe.seed)
    return make_network(classifier, build_optimizer(recipe, feed.updates * recipe.epochs), True), feed


def advance(network: Network, feed: Feed, updates: int, parts: int = 1, epoch: int = 0) -> Arrays:
    """Train some updates and return the weights."""
    for rows in feed.epoch(epoch)[:updates]:
        for portion in feed.portions(rows, parts):
            network.step(portion)
    return network.weights()


def test_one_step_moves_every_trainable_weight() -> None:
    network, feed = prepare(make_recipe(), dropout=0.1, layers=2)
    before = network.weights()
    after = advance(network, feed, 1)
    assert len(before) > 30
    still = [name for name in before if np.array_equal(before[name], after[name])]
    assert still == []


def test_the_loss_on_64_pairs_can_be_driven_to_zero() -> None:
    network, feed = prepare(make_recipe(batch_size=64))
    losses = []
    for epoch in range(400):
        advance(network, feed, 1, epoch=epoch)
        losses.append(network.read().loss / 64)
        network.clear()
        if losses[-1] < 0.01:
            break
    assert losses[0] > 1
    assert losses[-1] < 0.01


def test_sums_are_of_the_rows_and_not_of_what_fills_a_batch() -> None:
    network, feed = prepare(make_recipe(), count=13)
    advance(network, feed, 2)
    sums = network.read()
    assert sums.rows == 13
    assert sums.correct == pytest.approx(round(sums.correct))
    assert 0 < sums.loss / 13 < 20
    network.clear()
    assert network.read().rows == 0


def test_a_head_that_ends_in_softmax_has_the_same_loss() -> None:
    found = []
    for activation in (None, "softmax"):
        classifier = make_classifier("bert", layers=1, dropout=0.0, backbone_dropout=0.0, activation=activation)
        assert has_logits(classifier) == (activation is None)
        feed = Feed(Encoded(read_encoder(classifier), make_pairs(8)), np.arange(8) % 3, 8, 1)
        network = make_network(classifier, build_optimizer(make_recipe(), 1), has_logits(classifier))
        advance(network, feed, 1)
        found.append(network.read())
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-4)
    assert found[0].loss > 1


def test_a_batch_that_is_not_full_counts_like_one_of_its_size() -> None:
    changes = {"optimizer": "adam", "weight_decay": 0.0}
    small = advance(*prepare(make_recipe(**changes, batch_size=8), count=5), 1)
    full = advance(*prepare(make_recipe(**changes, batch_size=5), count=5), 1)
    kernel = next(name for name, value in small.items() if value.shape == (8, 3))
    np.testing.assert_allclose(small[kernel], full[kernel], atol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "triangular"])
def test_accumulated_gradients_are_those_of_the_large_batch(schedule: str) -> None:
    changes = {"schedule": schedule, "epochs": 1, "clip_norm": 1.0, "learning_rate": 1e-3}
    whole = advance(*prepare(make_recipe(**changes), count=61), 8)
    parts = advance(*prepare(make_recipe(**changes, accumulate=4), count=61), 8, parts=4)
    start = prepare(make_recipe(**changes), count=61)[0].weights()
    moved = max(np.abs(whole[name] - start[name]).max() for name in whole)
    assert moved > 1e-3
    for name in whole:
        # Adam divides by the gradient's own size, so that what is next to nothing is blown up: the keys' biases, whose
        # gradient is zero but for rounding.
        if np.abs(whole[name] - start[name]).max() > 1e-3:
            np.testing.assert_allclose(parts[name], whole[name], atol=2e-4, err_msg=name)


def test_a_state_that_is_restored_goes_on_bit_by_bit() -> None:
    network, feed = prepare(make_recipe(schedule="triangular"), dropout=0.1)
    advance(network, feed, 3)
    state = network.state()
    first = advance(network, feed, 8)
    network.restore(state)
    second = advance(network, feed, 8)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], state[name]) for name in first)


def test_a_saved_network_with_the_schedule_is_reloaded_and_trains_on(tmp_path: Path) -> None:
    recipe = make_recipe(schedule="triangular", epochs=2)
    classifier = make_classifier("bert", layers=1, dropout=0.0, backbone_dropout=0.0)
    feed = Feed(Encoded(read_encoder(classifier), make_pairs(64)), np.arange(64) % 3, 8, 1)
    model = keras.Model(classifier.input, classifier.output)
    model.compile(
        optimizer=build_optimizer(recipe, feed.updates * recipe.epochs),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def train(trained: Any, epoch: int) -> list[Any]:
        for rows in feed.epoch(epoch):
            (portion,) = feed.portions(rows, 1)
            trained.train_on_batch(portion.feeds, portion.truth)
        return [keras.ops.convert_to_numpy(w) for w in trained.trainable_weights]

    train(model, 0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer._learning_rate, TriangularSchedule)
    assert int(loaded.optimizer.iterations) == 8
    before = [keras.ops.convert_to_numpy(w) for w in loaded.trainable_weights]
    after = train(loaded, 1)
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    for other, weight in zip(train(model, 1), after, strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-3)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is that")
def test_all_of_this_holds_under_jax() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "this is that" in done.stdout, "it ran under JAX"
