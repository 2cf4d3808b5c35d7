"""Classifiers: a KerasHub text classifier from a preset or from scratch, and the encoder that feeds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_hub
from pairlift.encoding.encoder import PairEncoder, read_keras_preprocessor
from pairlift.errors import InputError, UsageError, first_line
from pairlift_training.data import Rows
from pairlift_training.recipe import Recipe
from pairlift_training.vocabulary import derive_vocabulary, read_bytepairs, read_wordpieces

BERT_DEVIATION = 0.02


def build_classifier(recipe: Recipe, labels: int, rows: Rows, vocabulary: Path | None, merges: Path | None) -> Any:
    """Return a KerasHub text classifier with its preprocessor.

    Args:
        recipe: The recipe, which names the preset or the shape of the model.
        labels: The number of outputs of the head.
        rows: The training data, from which a vocabulary is derived when none is given.
        vocabulary: A vocabulary file, for a model from scratch.
        merges: A file of merge rules, for RoBERTa from scratch.

    Raises:
        UsageError: The options do not fit together.
        InputError: The preset cannot be loaded, or is of another architecture.
    """
    if recipe.preset is not None:
        if vocabulary or merges:
            raise UsageError("--vocabulary and --merges are for a model from scratch; a preset has its own")
        return _from_preset(recipe, labels)
    if recipe.family == "bert":
        tokens = (
            read_wordpieces(vocabulary)
            if vocabulary
            else derive_vocabulary((t for p in rows.pairs for t in p), recipe.lowercase)
        )
        tokenizer = keras_hub.models.BertTokenizer(vocabulary=tokens, lowercase=recipe.lowercase)
        kinds = (
            keras_hub.models.BertBackbone,
            keras_hub.models.BertTextClassifier,
            keras_hub.models.BertTextClassifierPreprocessor,
        )
    else:
        if vocabulary is None or merges is None:
            raise UsageError("a RoBERTa from scratch needs --vocabulary vocab.json and --merges merges.txt")
        ids, rules = read_bytepairs(vocabulary, merges)
        tokenizer = keras_hub.models.RobertaTokenizer(vocabulary=ids, merges=rules)
        kinds = (
            keras_hub.models.RobertaBackbone,
            keras_hub.models.RobertaTextClassifier,
            keras_hub.models.RobertaTextClassifierPreprocessor,
        )
    backbone_kind, classifier_kind, preprocessor_kind = kinds
    backbone = backbone_kind(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=recipe.layers,
        num_heads=recipe.heads,
        hidden_dim=recipe.width,
        intermediate_dim=4 * recipe.width,
        dropout=recipe.dropout,
        max_sequence_length=recipe.sequence_length,
    )
    preprocessor = preprocessor_kind(tokenizer, sequence_length=recipe.sequence_length)
    classifier = classifier_kind(backbone, num_classes=labels, preprocessor=preprocessor, dropout=recipe.dropout)
    _scale_kernels(classifier, recipe.width)
    return classifier


def read_encoder(classifier: Any) -> PairEncoder:
    """Return the pair encoder of a classifier's own preprocessor."""
    return PairEncoder(read_keras_preprocessor(classifier.preprocessor))


def has_logits(classifier: Any) -> bool:
    """Return whether the head gives logits; if not, it ends in softmax.

    Raises:
        InputError: The head has another activation.
    """
    activation = keras.activations.serialize(keras.activations.get(classifier.activation))
    if activation not in ("linear", "softmax"):
        raise InputError(
            f"{type(classifier).__name__}: its head has the activation {activation}; expected none or softmax"
        )
    return bool(activation == "linear")


def load_classifier(path: Path) -> Any:
    """Load a `.keras` file.

    Raises:
        InputError: Keras cannot load it.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise InputError(f"{path}: Keras {keras.__version__} cannot load it: {first_line(error)}") from error


def _scale_kernels(classifier: Any, width: int) -> None:
    """Give fresh kernels a standard deviation of 1 / sqrt(width).

    KerasHub draws them with BERT's 0.02, which is meant for a width of 768. A narrow model then attends to all tokens
    almost equally, and is slow to learn that two words are the same.
    """
    for weight in classifier.trainable_weights:
        if "kernel" in weight.path:
            weight.assign(weight * (width**-0.5 / BERT_DEVIATION))


def _from_preset(recipe: Recipe, labels: int) -> Any:
    preset = recipe.preset
    try:
        classifier = keras_hub.models.TextClassifier.from_preset(preset, num_classes=labels)
    except Exception as error:
        raise InputError(
            f"preset {preset!r}: KerasHub cannot load it: {first_line(error)}; expected a preset's name or a local preset directory"
        ) from error
    expected = {"bert": "BertTextClassifier", "roberta": "RobertaTextClassifier"}[recipe.family]
    if type(classifier).__name__ != expected:
        raise InputError(
            f"preset {preset!r}: is a {type(classifier).__name__}; the recipe's family {recipe.family} expects {expected}"
        )
    longest = classifier.backbone.max_sequence_length
    if recipe.sequence_length > longest:
        raise UsageError(
            f"preset {preset!r}: takes up to {longest} tokens, found sequence length {recipe.sequence_length}; "
            f"add --sequence-length {longest}"
        )
    classifier.preprocessor.sequence_length = recipe.sequence_length
    return classifier
