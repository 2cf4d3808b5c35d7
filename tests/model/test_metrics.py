"""Metrics are what their definitions say, and a temperature is what makes the log loss least."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pairlift import Bundle, Scorer
from pairlift.errors import BundleError
from pairlift.model.metrics import Metrics, fit_temperature, format_metrics, measure
from pairlift.model.scorer import softmax

LABELS = ("no", "maybe", "yes")


@pytest.fixture(scope="module")
def drawn() -> Any:
    """Logits, and labels drawn by their own probabilities: a model that is calibrated by construction."""
    random = np.random.default_rng(0)
    logits: NDArray[np.float32] = (2 * random.normal(size=(20_000, 3))).astype(np.float32)
    truth = (random.random((20_000, 1)) < np.cumsum(softmax(logits), axis=1)).argmax(axis=1)
    return SimpleNamespace(logits=logits, truth=truth)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_of_scaled_logits_is_their_scale(drawn: Any, factor: float) -> None:
    logits = drawn.logits * np.float32(factor)
    assert fit_temperature(logits, drawn.truth) == pytest.approx(factor, rel=0.02)


def test_a_fitted_temperature_has_the_least_log_loss_and_mends_the_calibration(drawn: Any) -> None:
    logits = drawn.logits * 3
    fitted = fit_temperature(logits, drawn.truth)

    def at(temperature: float) -> Metrics:
        return measure(softmax(logits, temperature), drawn.truth, LABELS)

    assert at(fitted).log_loss < min(at(0.99 * fitted).log_loss, at(1.01 * fitted).log_loss)
    assert at(1.0).calibration_error > 0.1 > 0.01 > at(fitted).calibration_error
    assert at(fitted).confusion == at(1.0).confusion


def test_a_temperature_stays_within_bounds_where_there_is_no_minimum() -> None:
    right = np.array([[5.0, 0.0]] * 4, np.float32)
    assert fit_temperature(right, np.zeros(4, np.int64)) == pytest.approx(0.05)
    assert fit_temperature(right, np.ones(4, np.int64)) == pytest.approx(20.0)


def test_the_interval_is_wilsons() -> None:
    # 81 of 263: the example of "Newcombe, Two-sided confidence intervals for the single proportion", 1998
    probabilities = np.eye(2, dtype=np.float32)[np.zeros(263, np.int64)]
    truth = np.array([0] * 81 + [1] * 182)
    assert measure(probabilities, truth, LABELS[:2]).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_table_shows_interval_and_ablations(drawn: Any) -> None:
    metrics = dataclasses.replace(measure(softmax(drawn.logits), drawn.truth, LABELS), ablations={"swapped": 0.5})
    lines = format_metrics(metrics).splitlines()
    low, high = metrics.interval
    assert f"({metrics.correct} right; 95 % interval {low:.4f} to {high:.4f})" in lines[1]
    assert "swapped            0.5000" in lines


def test_a_bundles_temperature_divides_its_logits(bundle: Path) -> None:
    pairs = [("a cat", "the dog runs"), ("x", "a red house")]
    opened = Bundle.open(bundle)
    cool = Scorer(opened)
    opened.manifest = dataclasses.replace(opened.manifest, temperature=2.5)
    warm = Scorer(opened)
    assert warm.logits(pairs).tobytes() == cool.logits(pairs).tobytes()
    np.testing.assert_array_equal(warm.score(pairs), softmax(cool.logits(pairs) / np.float32(2.5)))
    assert warm.predict(pairs) == cool.predict(pairs)


def test_a_temperature_that_is_no_number_above_zero_is_refused(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace('"activation"', '"temperature": 0.0,\n  "activation"'))
    with pytest.raises(BundleError, match=r"temperature: found 0\.0, expected a number above 0"):
        Bundle.open(bundle)
