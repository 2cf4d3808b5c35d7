"""The triangular schedule: where it begins, where it is highest, where it ends."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from pairlift_training.optimizer import build_optimizer, rate_of
from pairlift_training.recipe import load_recipe
from pairlift_training.schedule import TriangularSchedule

pytestmark = pytest.mark.keras


def rates(schedule: TriangularSchedule, steps: range) -> list[float]:
    return [float(schedule(step)) for step in steps]


def test_it_rises_from_nothing_to_the_highest_and_falls_to_nothing() -> None:
    found = rates(TriangularSchedule(1e-4, 4, 20), range(21))
    assert found[0] == found[20] == 0
    assert found[4] == max(found) == pytest.approx(1e-4)
    assert np.diff(found[:5]) == pytest.approx([2.5e-5] * 4)
    assert np.diff(found[4:]) == pytest.approx([-1e-4 / 16] * 16, rel=1e-4)


def test_without_a_warm_up_it_begins_at_the_highest() -> None:
    found = rates(TriangularSchedule(1e-4, 0, 10), range(11))
    assert found[0] == pytest.approx(1e-4)
    assert found == sorted(found, reverse=True)
    assert np.isfinite(found).all()


def test_a_warm_up_of_the_whole_run_never_falls() -> None:
    assert rates(TriangularSchedule(1.0, 4, 4), range(5)) == pytest.approx([0, 0.25, 0.5, 0.75, 0])


def test_after_its_end_it_stays_at_nothing() -> None:
    assert rates(TriangularSchedule(1e-4, 2, 10), range(10, 30)) == [0.0] * 20


def test_parts_of_a_batch_share_its_rate() -> None:
    whole = rates(TriangularSchedule(1e-4, 2, 8), range(8))
    parts = rates(TriangularSchedule(1e-4, 2, 8, every=3), range(24))
    assert parts == [rate for rate in whole for _ in range(3)]


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (0, 0)])
def test_what_cannot_be_a_schedule_is_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= warmup <= total"):
        TriangularSchedule(1e-4, *arguments)


def test_it_is_made_again_from_what_keras_writes_of_it() -> None:
    schedule = TriangularSchedule(3e-4, 2, 9, every=2)
    written = keras.saving.serialize_keras_object(schedule)
    assert written["registered_name"] == "pairlift>TriangularSchedule"
    again = keras.saving.deserialize_keras_object(written)
    assert rates(again, range(20)) == rates(schedule, range(20))


def test_the_history_tells_the_rate_that_the_optimiser_takes() -> None:
    recipe = load_recipe("bert_tiny_adamw", {})
    optimizer = build_optimizer(recipe, 20601)
    assert int(20601 * recipe.warmup) == 4120, "20 % of the tutorial's three epochs of 6,867 batches"
    for update in (0, 100, 4120, 20600):
        assert rate_of(recipe, 20601, update) == pytest.approx(float(optimizer._learning_rate(update)), rel=1e-5)
    assert rate_of(recipe, 20601, 4120) == 1e-4
    assert rate_of(load_recipe("bert_tiny", {}), 6867, 6866) == 5e-5
