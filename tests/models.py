"""Small KerasHub classifiers with perturbed weights, made under whatever backend Keras has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

WORDS = [
    "a",
    "an",
    "the",
    "man",
    "woman",
    "boy",
    "girl",
    "dog",
    "cat",
    "is",
    "are",
    "not",
    "in",
    "on",
    "at",
    "park",
    "street",
    "house",
    "red",
    "blue",
    "two",
    "three",
    "sleeps",
    "runs",
    "eats",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz.,!?'")


def bert_vocabulary() -> list[str]:
    """Return a vocabulary of some words and all letters."""
    return [*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), *[w for w in WORDS if len(w) > 1]]


def roberta_vocabulary() -> tuple[dict[str, int], list[str]]:
    """Return a byte-pair vocabulary of all bytes and a few merges."""
    merges = ["t h", "th e", "\u0120 a", "i s", "\u0120 the", "m an", "a n", "d o", "do g"]
    merges.insert(5, merges.pop(6))
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokens += [a + b for a, b in (m.split(" ") for m in merges)]
    return {token: i for i, token in enumerate(tokens)}, merges


def perturb(model: Any, seed: int = 7) -> None:
    """Move every weight, biases a little and the others much, so that answers differ from pair to pair."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" not in weight.path:
            size = 0.7 if weight.path.endswith(("kernel", "embeddings")) else 0.1
            weight.assign(np.asarray(weight) + rng.normal(0, size, weight.shape).astype("float32"))


def make_classifier(family: str = "bert", labels: int = 3, length: int = 16, layers: int = 2, **options: Any) -> Any:
    """Return a classifier, 8 wide."""
    keras.utils.set_random_seed(5)  # fresh weights, so that the perturbed ones are the same each time
    sizes: dict[str, Any] = {
        "num_layers": layers,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "max_sequence_length": length,
    }
    if "backbone_dropout" in options:
        sizes["dropout"] = options.pop("backbone_dropout")
    dtype = options.pop("dtype", None)
    models = keras_hub.models
    if family == "bert":
        tokenizer = models.BertTokenizer(vocabulary=bert_vocabulary(), lowercase=True)
        backbone = models.BertBackbone(vocabulary_size=tokenizer.vocabulary_size(), dtype=dtype, **sizes)
        preprocessor = models.BertTextClassifierPreprocessor(tokenizer, sequence_length=length)
        model = models.BertTextClassifier(backbone, num_classes=labels, preprocessor=preprocessor, **options)
    else:
        vocabulary, merges = roberta_vocabulary()
        tokenizer = models.RobertaTokenizer(vocabulary=vocabulary, merges=merges)
        backbone = models.RobertaBackbone(vocabulary_size=len(vocabulary), dtype=dtype, **sizes)
        preprocessor = models.RobertaTextClassifierPreprocessor(tokenizer, sequence_length=length)
        model = models.RobertaTextClassifier(backbone, num_classes=labels, preprocessor=preprocessor, **options)
    perturb(model)
    return model


def save_classifier(path: Path, family: str = "bert", **options: Any) -> Any:
    """Save such a classifier and return it."""
    model = make_classifier(family, **options)
    model.save(path)
    return model


def raw_text_logits(model: Any, pairs: list[tuple[str, str]]) -> Any:
    """Return Keras' own answer for raw text."""
    first, second = np.array([p[0] for p in pairs], object), np.array([p[1] for p in pairs], object)
    return keras.ops.convert_to_numpy(model.predict((first, second), batch_size=8, verbose=0))
