"""The same weights for everybody: a `.keras` file, a Hugging Face directory and a pairlift bundle of one random BERT.

    python benchmarks/models.py OUT [LAYERS WIDTH HEADS]

The vocabulary and the pairs of the proof are read from PAIRLIFT_DATA (or ../shared/data). What is there already is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PAIRLIFT_DATA", ROOT.parent / "shared/data"))
PAIRS = DATA / "snli/validation.jsonl"
VOCABULARY = DATA / "vocab/bert_uncased_vocab.txt"
LABELS = ("entailment", "neutral", "contradiction")
LENGTH = 128
TINY, BASE = (2, 128, 2), (12, 768, 12)


def make_models(folder: Path, layers: int, width: int, heads: int) -> Path:
    """Make the three, and return their folder."""
    if not (folder / "model.keras").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--write", str(folder), str(layers), str(width), str(heads)]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": "jax"})
    if not (folder / "bundle").exists():
        options = ["--labels", ",".join(LABELS), "--fields", "hypothesis,premise", "--pairs", str(PAIRS)]
        export = [sys.executable, "-m", "pairlift", "export", str(folder / "model.keras")]
        subprocess.run([*export, str(folder / "bundle"), *options, "--max-flips", "1", "--max-drop", "1"], check=True)
        subprocess.run([*export, str(folder / "tf2onnx"), *options, "--graph", "tf2onnx", "--no-int8"], check=True)
    return folder


def write_models(folder: Path, layers: int, width: int, heads: int) -> None:
    """Write the `.keras` file and the Hugging Face directory of a BERT whose weights are moved at random."""
    import keras_hub
    import numpy as np

    tokenizer = keras_hub.models.BertTokenizer(vocabulary=str(VOCABULARY), lowercase=True)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=layers, num_heads=heads, hidden_dim=width,
        intermediate_dim=4 * width, max_sequence_length=512,
    )  # fmt: skip
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=LENGTH)
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=len(LABELS), preprocessor=preprocessor)
    random = np.random.default_rng(7)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(np.asarray(weight) + random.normal(0, 0.05, weight.shape).astype("float32"))
    model.save(folder / "model.keras")
    write_hugging_face(model, folder / "hf", layers, width, heads)


def write_hugging_face(model: Any, folder: Path, layers: int, width: int, heads: int) -> None:
    """Write a BERT classifier's weights as transformers names them."""
    import numpy as np
    from safetensors.numpy import save_file

    found = {v.path.split("_backbone/")[-1]: np.asarray(v) for v in model.weights if "seed" not in v.path}
    tensors: dict[str, Any] = {}

    def dense(target: str, source: str) -> None:
        kernel, bias = found[f"{source}/kernel"], found[f"{source}/bias"].reshape(-1)
        tensors[f"{target}.weight"] = np.ascontiguousarray(kernel.reshape(-1, bias.size).T)
        tensors[f"{target}.bias"] = bias

    def norm(target: str, source: str) -> None:
        tensors[f"{target}.weight"], tensors[f"{target}.bias"] = found[f"{source}/gamma"], found[f"{source}/beta"]

    for target, source in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        tensors[f"bert.embeddings.{target}_embeddings.weight"] = found[f"{source}_embedding/embeddings"]
    norm("bert.embeddings.LayerNorm", "embeddings_layer_norm")
    for i in range(layers):
        target, source = f"bert.encoder.layer.{i}", f"transformer_layer_{i}"
        for name in ("query", "key", "value"):
            dense(f"{target}.attention.self.{name}", f"{source}/self_attention_layer/{name}")
        dense(f"{target}.attention.output.dense", f"{source}/self_attention_layer/attention_output")
        norm(f"{target}.attention.output.LayerNorm", f"{source}/self_attention_layer_norm")
        dense(f"{target}.intermediate.dense", f"{source}/feedforward_intermediate_dense")
        dense(f"{target}.output.dense", f"{source}/feedforward_output_dense")
        norm(f"{target}.output.LayerNorm", f"{source}/feedforward_layer_norm")
    dense("bert.pooler.dense", "pooled_dense")
    dense("classifier", "logits")
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * width,
        "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": len(tensors["bert.embeddings.word_embeddings.weight"]),
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "id2label": dict(enumerate(LABELS)), "label2id": {n: i for i, n in enumerate(LABELS)},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text(VOCABULARY.read_text(encoding="utf-8"), encoding="utf-8")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": LENGTH}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--write":
        write_models(Path(arguments[1]), *map(int, arguments[2:5]))
    else:
        make_models(Path(arguments[0]), *(map(int, arguments[1:4]) if len(arguments) > 1 else TINY))
