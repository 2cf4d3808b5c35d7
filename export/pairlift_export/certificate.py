"""The certificate, parity.json: how far each artefact is from Keras on the same raw texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Counts = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenParity:
    """Token ids, masks and segment ids against KerasHub's: pairs compared and pairs equal in all of them."""

    compared: int
    equal: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Absolute differences: the largest, their mean, and two percentiles."""

    max: float
    mean: float
    p99: float
    p999: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A pair whose most probable label changed, with both margins (first minus second probability)."""

    first: str
    second: str
    expected: str
    found: str
    expected_margin: float
    found_margin: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShapeParity:
    """One shape of a batch: the largest difference of a probability from Keras, both on the same arrays."""

    batch: int
    length: int
    max: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invariance:
    """The largest change of a row's probability from what it is in its batch: alone, in other orders, with the most padding."""

    rows: int
    alone: float
    order: float
    padding: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VariantParity:
    """What is measured of a variant the runner loads.

    Attributes:
        graph: How its graph was made: `pairlift` from the weights, or `tf2onnx`.
        shapes: The shape matrix.
        invariance: Whether a row's score depends on what stands beside it.
        pairs_per_second: From raw text to probabilities, over the pairs of the proof, on `threads` threads.
        threads: How many.
    """

    graph: str = "tf2onnx"
    shapes: tuple[ShapeParity, ...]
    invariance: Invariance
    pairs_per_second: float
    threads: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a quantised variant may do: the share of labels that may flip, and how far accuracy may fall."""

    most_flips: float
    most_drop: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """The graph from the weights against tf2onnx's: pairs compared, and the largest difference of a probability."""

    pairs: int
    max: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactParity:
    """One artefact against Keras on raw text.

    Attributes:
        logits: Differences of logits.
        probabilities: Differences of probabilities.
        differences: Each pair's largest difference of a probability, in the order of the pairs.
        same_label: Pairs with the same most probable label.
        flips: The others.
        agreement: Pairs by Keras' label (rows) and the artefact's (columns).
        confusion: Labelled pairs by their label (rows) and the artefact's (columns).
        smallest_tolerance: The smallest tolerance of probabilities that would have passed.
        tolerance: The one that was held to; None for a quantised variant, which is held to a gate.
        gate: Of a quantised variant.
        worst_first, worst_second: The pair with the largest difference.
        accuracy: On the labelled pairs, or None.
        drop: Keras' accuracy on them minus this one, or None: then no pair is labelled, and a gate on it is not applied.
        size: Bytes on disk.
        variant: More, of what the runner loads.
    """

    logits: Spread
    probabilities: Spread
    differences: tuple[float, ...]
    same_label: int
    flips: tuple[Flip, ...]
    agreement: Counts
    confusion: Counts
    smallest_tolerance: float
    tolerance: float | None
    worst_first: str
    worst_second: str
    accuracy: float | None
    drop: float | None = None
    size: int = 0
    variant: VariantParity | None = None
    gate: Gate | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The certificate.

    Attributes:
        model: The run's or the file's name.
        model_sha256: Of the `.keras` file.
        labels: Label names in the order of the head's outputs.
        pairs: Pairs whose logits were compared.
        pairs_source: Where the user's pairs are from.
        rows_left_out: Rows there that hold no pair, by reason.
        hard_pairs: How many of the pairs are of the built-in hard corpus.
        labelled_pairs: How many of them have one of the labels.
        keras_accuracy: Of the reference on the labelled pairs, or None.
        keras_confusion: Labelled pairs by their label (rows) and Keras' (columns).
        margins: Keras' margin on each pair (first minus second probability).
        tokens: The preprocessing, over the pairs and the whole hard corpus.
        artefacts: `saved_model`, and each variant.
        left_out: Variants that are not in the bundle, and why.
        cross_check: When the graph was built from the weights.
        calibration_pairs: How many pairs the ranges of the int8 variant were measured on.
        time: When, UTC, ISO 8601.
        cpu: The processor.
        cpu_flags: Its instruction sets that matter to matrix kernels.
        onnxruntime_build: What onnxruntime says of its build.
        versions: Of everything that had a part.
    """

    format: int = 1
    model: str
    model_sha256: str
    labels: tuple[str, ...]
    pairs: int
    pairs_source: str
    hard_pairs: int
    labelled_pairs: int
    keras_accuracy: float | None
    keras_confusion: Counts
    margins: tuple[float, ...]
    tokens: TokenParity
    artefacts: Mapping[str, ArtefactParity]
    rows_left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cross_check: CrossCheck | None = None
    calibration_pairs: int = 0
    time: str
    cpu: str
    cpu_flags: tuple[str, ...]
    onnxruntime_build: str
    versions: Mapping[str, str]
