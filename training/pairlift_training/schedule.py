"""The learning rate over a run."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("pairlift")
class TriangularSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 up to the highest rate over the warm-up, then linearly down to 0.

    Without a warm-up it begins at the highest rate. After the last update it stays at 0.

    Args:
        rate: The highest learning rate.
        warmup: Updates until it is reached; may be 0.
        total: Updates of the whole run.
        every: Steps of the optimiser's counter for each update (gradient accumulation counts parts of a batch).
    """

    def __init__(self, rate: float, warmup: int, total: int, every: int = 1) -> None:
        if not 0 <= warmup <= total or total < 1 or every < 1:
            raise ValueError(
                f"warmup {warmup}, total {total}, every {every}: expected 0 <= warmup <= total, the others at least 1"
            )
        self.rate, self.warmup, self.total, self.every = rate, warmup, total, every

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        update = keras.ops.cast(keras.ops.floor_divide(step, self.every), "float32")
        factor = (self.total - update) / max(1, self.total - self.warmup)
        if self.warmup:
            factor = keras.ops.minimum(factor, update / self.warmup)
        return self.rate * keras.ops.maximum(0.0, factor)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"rate": self.rate, "warmup": self.warmup, "total": self.total, "every": self.every}
