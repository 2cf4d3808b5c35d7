"""One peer: loads a model, then scores files when told to, and says how long each took.

    python benchmarks/peer.py NAME FOLDER

Reads lines of "PAIRS OUTPUT" from standard input; answers "@ SECONDS" for each, from the file of pairs to the file of
probabilities. Each peer is used as its documentation advises, with the batch size that was best for it here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LENGTH = 128
Pairs = list[tuple[str, str]]
Score = Callable[[Pairs], Any]


def load_keras(folder: Path, length: int) -> Score:
    """KerasHub's own `predict` on raw text."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import keras_hub  # noqa: F401
    import numpy as np

    model = keras.models.load_model(folder / "model.keras", compile=False)
    model.preprocessor.sequence_length = length

    def score(pairs: Pairs) -> Any:
        columns = np.array([p[0] for p in pairs], object), np.array([p[1] for p in pairs], object)
        return keras.ops.softmax(model.predict(columns, batch_size=32, verbose=0)).numpy()

    return score


def load_pipeline(folder: Path) -> Score:
    """transformers' text-classification pipeline."""
    import torch
    import transformers

    torch.set_num_threads(2)
    pipe = transformers.pipeline("text-classification", model=str(folder / "hf"), device="cpu")

    def score(pairs: Pairs) -> Any:
        rows = [{"text": first, "text_pair": second} for first, second in pairs]
        found = pipe(rows, batch_size=16, top_k=None, truncation=True, max_length=LENGTH)
        labels = pipe.model.config.label2id
        return [[p["score"] for p in sorted(row, key=lambda p: labels[p["label"]])] for row in found]

    return score


def load_cross_encoder(folder: Path, backend: str) -> Score:
    """sentence-transformers' CrossEncoder, which sorts by length itself."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(2)
    options = {"provider": "CPUExecutionProvider"} if backend == "onnx" else {}
    model = CrossEncoder(str(folder / "hf"), backend=backend, max_length=LENGTH, device="cpu", model_kwargs=options)
    return lambda pairs: model.predict(pairs, batch_size=128, apply_softmax=True, show_progress_bar=False)


def load_optimum(folder: Path) -> Score:
    """optimum's ONNX model with the fast tokenizer, rows sorted by length."""
    import numpy as np
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    model = ORTModelForSequenceClassification.from_pretrained(folder / "hf", export=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")

    def score(pairs: Pairs) -> Any:
        order = np.argsort([len(a) + len(b) for a, b in pairs])
        out = np.empty((len(pairs), 3), np.float32)
        for start in range(0, len(pairs), 32):
            rows = order[start : start + 32]
            columns = [pairs[i][0] for i in rows], [pairs[i][1] for i in rows]
            inputs = tokenizer(*columns, padding=True, truncation=True, max_length=LENGTH, return_tensors="np")
            out[rows] = softmax(model(**inputs).logits)
        return out

    return score


def load_plain_loop(folder: Path) -> Score:
    """tf2onnx's graph in the loop that people write: batches as they come, padded to the maximum."""
    import numpy as np
    import onnxruntime
    from tokenizers import BertWordPieceTokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(folder / "tf2onnx/model.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = BertWordPieceTokenizer(str(folder / "hf/vocab.txt"), lowercase=True)
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.enable_truncation(LENGTH)

    def score(pairs: Pairs) -> Any:
        parts = []
        for start in range(0, len(pairs), 32):
            rows = tokenizer.encode_batch(pairs[start : start + 32])
            fields = {"token_ids": "ids", "segment_ids": "type_ids", "padding_mask": "attention_mask"}
            feed = {name: np.array([getattr(row, field) for row in rows], np.int32) for name, field in fields.items()}
            parts.append(softmax(session.run(["logits"], feed)[0]))
        return np.concatenate(parts)

    return score


def softmax(logits: Any) -> Any:
    """Softmax over the last axis."""
    import numpy as np

    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def file_to_file(score: Score, source: str, output: str) -> None:
    """Read the pairs, score them, write the probabilities."""
    with Path(source).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = score([(row["hypothesis"], row["premise"]) for row in rows])
    with Path(output).open("w", encoding="utf-8") as file:
        for row, probabilities in zip(rows, found, strict=True):
            file.write(json.dumps({**row, "scores": [float(p) for p in probabilities]}) + "\n")


def load(name: str, folder: Path) -> Callable[[str, str], object]:
    """Return what scores a file."""
    kind, _, variant = name.partition(":")
    if kind == "pairlift":
        from pairlift.jobs.job import score_file
        from pairlift.model.scorer import Scorer

        scorer = Scorer.open(folder / "bundle", variant)
        return lambda source, output: score_file(scorer, source, output)
    loaders: dict[str, Callable[[], Score]] = {
        "keras": lambda: load_keras(folder, int(variant)),
        "pipeline": lambda: load_pipeline(folder),
        "cross-encoder": lambda: load_cross_encoder(folder, variant),
        "optimum": lambda: load_optimum(folder),
        "tf2onnx": lambda: load_plain_loop(folder),
    }
    score = loaders[kind]()
    return lambda source, output: file_to_file(score, source, output)


def main(name: str, folder: str) -> None:
    """Answer until the input ends."""
    run = load(name, Path(folder))
    print("@ ready", flush=True)
    for line in sys.stdin:
        source, output = line.split()
        Path(output).unlink(missing_ok=True)
        started = time.perf_counter()
        run(source, output)
        print(f"@ {time.perf_counter() - started}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
