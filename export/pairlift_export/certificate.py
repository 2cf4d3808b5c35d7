"""The certificate, parity.json: how much each artefact differs from Keras on the same raw texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Counts = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenParity:
    """Token ids, masks and segment ids compared with KerasHub's: pairs compared and pairs equal in all of them."""

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
    """The largest change of a row's probability from that in its batch: alone, in other orders, with most padding."""

    rows: int
    alone: float
    order: float
    padding: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VariantParity:
    """Measurements of a variant that the runner loads.

    Attributes:
        graph: How its graph was made: `pairlift` from the weights, or `tf2onnx`.
        shapes: The shape matrix.
        invariance: Whether a row's score depends on the other rows of its batch.
        pairs_per_second: The speed from raw text to probabilities, over the pairs of the proof, on `threads` threads.
        threads: The number of threads of that measurement.
    """

    graph: str = "tf2onnx"
    shapes: tuple[ShapeParity, ...]
    invariance: Invariance
    pairs_per_second: float
    threads: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The limits of a quantised variant: the share of labels that may flip, and how much accuracy may drop."""

    most_flips: float
    most_drop: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """The graph from the weights compared with tf2onnx's: the pairs, and the largest difference of a probability."""

    pairs: int
    max: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactParity:
    """One artefact compared with Keras on raw text.

    Attributes:
        logits: Differences of logits.
        probabilities: Differences of probabilities.
        differences: Each pair's largest difference of a probability, in the order of the pairs.
        same_label: Pairs with the same most probable label.
        flips: The other pairs.
        agreement: Pairs by Keras' label (rows) and the artefact's (columns).
        confusion: Labelled pairs by their label (rows) and the artefact's (columns).
        smallest_tolerance: The smallest tolerance of probabilities that would have passed.
        tolerance: The tolerance that was applied; None for a quantised variant, which has a gate instead.
        gate: The gate of a quantised variant.
        worst_first, worst_second: The pair with the largest difference.
        accuracy: The accuracy on the labelled pairs, or None if there are none.
        drop: Keras' accuracy minus this one; None if no pair is labelled, and then the accuracy gate is not applied.
        size: The size on disk in bytes.
        variant: More measurements, if the runner loads the artefact.
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
        model_sha256: The sha256 of the `.keras` file.
        labels: Label names in the order of the head's outputs.
        pairs: Pairs whose logits were compared.
        pairs_source: Where the user's pairs are from.
        rows_left_out: The number of rows in that source without a usable pair, by reason.
        hard_pairs: How many of the pairs are from the built-in hard corpus.
        labelled_pairs: How many of the pairs have one of the labels.
        keras_accuracy: The accuracy of the reference on the labelled pairs, or None.
        keras_confusion: Labelled pairs by their label (rows) and Keras' (columns).
        margins: Keras' margin on each pair (first minus second probability).
        tokens: The comparison of the preprocessing, over the pairs and the whole hard corpus.
        artefacts: The comparison of `saved_model` and of each variant.
        left_out: Variants that are not in the bundle, and why.
        cross_check: The comparison with tf2onnx's graph, if the graph was built from the weights.
        calibration_pairs: How many pairs the ranges of the int8 variant were measured on.
        time: When the certificate was made, UTC, ISO 8601.
        cpu: The processor.
        cpu_flags: Its instruction sets that matter to matrix kernels.
        onnxruntime_build: onnxruntime's description of its build.
        versions: The versions of the packages that took part.
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
