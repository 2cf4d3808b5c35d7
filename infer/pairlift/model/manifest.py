"""The manifest: what a bundle is, and every file it may hold."""

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
        file: The ONNX file, which stands in the group of the variant's name.
        graph: How it was made: `pairlift` (from the weights) or `tf2onnx`.
        max_probability_difference: The largest absolute difference from Keras over the pairs of the proof.
        tolerance: What the golden pairs are held to, on whatever machine.
        pairs: How many pairs were compared.
        cpu: The processor this was measured on.
    """

    file: str
    graph: str
    max_probability_difference: float
    tolerance: float
    pairs: int
    cpu: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the model came from.

    Attributes:
        name: The run's or the file's name, without its folders.
        model_sha256: Of the `.keras` file.
        dtype_policy: The policy the file was saved under; the bundle computes in float32 whatever it says.
        recipe: The recipe's name, or None when the model was not trained by pairlift.
    """

    name: str
    model_sha256: str
    dtype_policy: str
    recipe: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A bundle.

    Attributes:
        architecture: The KerasHub class.
        labels: Label names in the order of the head's outputs.
        fields: The fields of a pair in the order of the segments.
        activation: What turns logits into probabilities: `softmax` over the classes.
        temperature: What logits are divided by before that; 1 where the run was not calibrated.
        packing: Sequence length, truncation, special ids.
        inputs: What the graph takes.
        output: The name of the graph's output: logits, float32, shape (batch, labels).
        variants: The graphs by name.
        versions: Of everything that had a part in the export.
        source: The model.
        groups: Every file but this one, by group: `runtime`, one group for each variant, `proof`, `saved_model`.
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
    source: Source
    groups: Mapping[str, tuple[FileDigest, ...]]
