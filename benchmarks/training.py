"""Training beside the tutorial's own code: the same model, pairs and cores, in turns.

    python benchmarks/training.py [ROUNDS]

The tutorial (KerasHub's "Semantic Similarity", keras.io) is written out plainly: a tf.data pipeline of raw text in batches of 16,
the classifier's own preprocessor at its default length 512 and at 128, `compile` and `fit`. pairlift trains the same `.keras` file on
the same pairs with the same batch size, tokens bucketed by length. Each is a process that is warmed up first, so that compilation is
left out of the rates (and given beside them); then come rounds, one after the other.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from models import DATA, LABELS, LENGTH, ROOT, TINY, make_models
from report import print_table, save

BATCH = 16
PAIRS = 3200  # of pairlift's rounds: all widths in the share that they have
STEPS = {512: 12, 128: 60}  # of the tutorial's
SKIPPED = 4  # steps of a `fit` that fill its pipeline
RATE = 5e-5


def read_pairs(count: int) -> tuple[list[str], list[str], list[int]]:
    """Return hypotheses, premises and labels of SNLI's training pairs."""
    with (DATA / "snli/train.jsonl").open() as file:
        rows = [json.loads(line) for line in itertools.islice(file, count)]
    return [r["hypothesis"] for r in rows], [r["premise"] for r in rows], [LABELS.index(r["label"]) for r in rows]


def prepare_tutorial(folder: Path, length: int) -> Callable[[], tuple[int, float]]:
    """Return what runs some steps of the tutorial, and gives their number and seconds."""
    import keras
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    classifier = keras.models.load_model(folder / "model.keras", compile=False)
    classifier.preprocessor.sequence_length = length
    classifier.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.Adam(RATE),
        metrics=["accuracy"],
    )
    hypotheses, premises, labels = read_pairs(BATCH * (STEPS[length] + SKIPPED))
    data = tf.data.Dataset.from_tensor_slices(((hypotheses, premises), labels)).batch(BATCH)
    data = data.cache().prefetch(tf.data.AUTOTUNE)

    class Clock(keras.callbacks.Callback):
        """Notes when each step ended."""

        def on_train_begin(self, logs: object = None) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.times.append(time.perf_counter())

    def run() -> tuple[int, float]:
        clock = Clock()
        classifier.fit(data, epochs=1, verbose=0, callbacks=[clock])
        keras.ops.convert_to_numpy(classifier.trainable_variables[-1])  # the last step is done
        return len(clock.times) - SKIPPED, time.perf_counter() - clock.times[SKIPPED - 1]

    return run


def prepare_ours(folder: Path, length: int) -> Callable[[], tuple[int, float]]:
    """Return what runs an epoch of pairlift's training over the pairs, and gives the number of steps and seconds."""
    import keras
    from pairlift_training.batches import Encoded
    from pairlift_training.classifier import read_encoder
    from pairlift_training.feed import Feed
    from pairlift_training.network import make_network

    classifier = keras.models.load_model(folder / "model.keras", compile=False)
    classifier.preprocessor.sequence_length = length
    hypotheses, premises, labels = read_pairs(PAIRS)
    encoded = Encoded(read_encoder(classifier), list(zip(hypotheses, premises, strict=True)))
    feed = Feed(encoded, np.array(labels), BATCH, 1)
    network = make_network(classifier, keras.optimizers.Adam(RATE), True)
    epochs = itertools.count()

    def run() -> tuple[int, float]:
        started = time.perf_counter()
        batches = feed.epoch(next(epochs))
        for rows in batches:
            for portion in feed.portions(rows, 1):
                network.step(portion)
        network.read()
        return len(batches), time.perf_counter() - started

    return run


def serve(kind: str, length: str, folder: str) -> None:
    """Warm up, then run once for each line of the input."""
    prepare = prepare_tutorial if kind == "tutorial" else prepare_ours
    run = prepare(Path(folder), int(length))
    started = time.perf_counter()
    run()
    print(f"@ {time.perf_counter() - started}", flush=True)
    for _ in sys.stdin:
        steps, seconds = run()
        print(f"@ {steps / seconds}", flush=True)


class Trainer:
    """A process that trains."""

    def __init__(self, backend: str, kind: str, length: int, folder: Path) -> None:
        environment = {
            **os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, str(length), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.warm_up = self._answer()
        self.rates: list[float] = []

    def run(self) -> None:
        """Run a round."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.rates.append(self._answer())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@ "):
                return float(line[2:])
        raise SystemExit(f"a trainer ended with {self._process.wait()}")


def main(rounds: str = "5") -> None:
    """Run the rounds under JAX and under TensorFlow, print and save."""
    folder = make_models(ROOT / "out/benchmarks/tiny", *TINY)
    results: dict[str, list[dict[str, object]]] = {}
    for backend in ("jax", "tensorflow"):
        trainers = {
            "tutorial, length 512 (default)": Trainer(backend, "tutorial", 512, folder),
            "tutorial, length 128": Trainer(backend, "tutorial", LENGTH, folder),
            "pairlift": Trainer(backend, "pairlift", LENGTH, folder),
        }
        for _ in range(int(rounds)):
            for trainer in trainers.values():
                trainer.run()
        ours = trainers["pairlift"].rates
        results[backend] = []
        for name, trainer in trainers.items():
            trainer.close()
            ratio = statistics.median(a / b for a, b in zip(ours, trainer.rates, strict=True))
            rate = statistics.median(trainer.rates)
            results[backend].append({
                "name": name, "steps_per_second": round(rate, 2), "pairs_per_second": round(BATCH * rate, 1),
                "warm_up_seconds": round(trainer.warm_up, 1), "pairlift_is": round(ratio, 2),
            })  # fmt: skip
        print(f"\n{backend}, batches of {BATCH}, {rounds} rounds")
        print_table(
            ("training", "steps/s", "pairs/s", "first round", "pairlift is"),
            [
                (
                    r["name"],
                    r["steps_per_second"],
                    r["pairs_per_second"],
                    f"{r['warm_up_seconds']} s",
                    f"{r['pairlift_is']} x",
                )
                for r in results[backend]
            ],
        )
    save("training", {"batch": BATCH, "rounds": int(rounds), "pairs": PAIRS, "backends": results})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
