"""Compare Keras' `predict` on raw text with a scored file, row by row.

    python benchmarks/raw_text.py runs/snli/model.keras scores.jsonl hypothesis,premise

The file is what `pairlift score` wrote as JSON lines; the fields are in model order.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import keras_hub  # noqa: F401 (registers the classes)
import numpy as np
import tensorflow as tf


def main(model: Path, scores: Path, fields: str) -> None:
    """Print the rows compared, the largest difference of a probability, and the labels that differ."""
    rows = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    labels = [name.removeprefix("p_") for name in rows[0] if name.startswith("p_")]
    texts = tuple(np.array([row[field] for row in rows], object) for field in fields.split(","))
    logits = keras.models.load_model(model, compile=False).predict(
        tf.data.Dataset.from_tensor_slices((texts,)).batch(64), verbose=0
    )
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    found = np.array([[row[f"p_{label}"] for label in labels] for row in rows], np.float32)
    different = sum(labels[i] != row["prediction"] for i, row in zip(expected.argmax(axis=1), rows, strict=True))
    print(
        f"{len(rows)} rows, largest difference of a probability {np.abs(expected - found).max():.2e}, {different} labels differ"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
