"""The manifest: describes a bundle, and lists every file that it may contain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.digest import FileDigest
from pairlift.encoding.packing import Packing

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
GOLDEN = "golden.jsonl"
PARITY = "parity.json"
PARITY_PAGE = "parity.html"

RUNTIME = "runtime"
PROOF = "proof"
SAVED_MODEL = "saved_model"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GraphInput:
    """An input of the graph: its name, and its dtype as numpy spells it. The shape is (batch, sequence)."""

    name: str
    dtype: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One graph of the bundle.

    Attributes:
        file: The ONNX file, which is in the group with the variant's name.
        graph: How it was made: `pairlift` (from the weights) or `tf2onnx`.
        max_probability_difference: The largest absolute difference from Keras over the pairs of the proof.
        tolerance: How much the golden pairs' probabilities may differ, on any machine.
        pairs: How many pairs were compared.
        cpu: The processor on which this was measured.
    """

    file: str
    graph: str
    max_probability_difference: float
    tolerance: float
    pairs: int
    cpu: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the model came from.

    Attributes:
        name: The run's or the file's name, without its folders.
        model_sha256: The SHA-256 of the `.keras` file.
        dtype_policy: The policy with which the file was saved. The bundle always computes in float32.
        recipe: The recipe's name, or None if pairlift did not train the model.
    """

    name: str
    model_sha256: str
    dtype_policy: str
    recipe: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of manifest.json.

    Attributes:
        architecture: The KerasHub class.
        labels: Label names in the order of the head's outputs.
        fields: The fields of a pair in the order of the segments.
        activation: The function that turns logits into probabilities: `softmax` over the classes.
        temperature: The number by which logits are divided before that; 1 if the run was not calibrated.
        packing: Sequence length, truncation, special ids.
        inputs: The inputs of the graph.
        output: The name of the graph's output: logits, float32, shape (batch, labels).
        variants: The graphs by name.
        versions: The versions of everything that was used for the export.
        source: Where the model came from.
        groups: Every file except manifest.json, by group: `runtime`, one group for each variant, `proof`,
            `saved_model`.
    """

    format: int = 2
    architecture: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    activation: str
    temperature: float = 1.0
    packing: Packing
    inputs: tuple[GraphInput, ...]
    output: str
    variants: Mapping[str, Variant]
    versions: Mapping[str, str]
    source: Origin
    groups: Mapping[str, tuple[FileDigest, ...]]
