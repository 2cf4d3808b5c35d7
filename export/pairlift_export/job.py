"""An export job: what the command passes to the process that runs TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.model.manifest import Origin
from pairlift_export.certificate import Gate
from pairlift_training.run import LabelledPair

# A label may flip where the first two classes are about equal; a trained BERT tiny flips some 0.4 % (docs/performance.md).
DEFAULT_GATE = Gate(most_flips=0.03, most_drop=0.01)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """One export.

    Attributes:
        model: The `.keras` file.
        stage: The directory to fill.
        labels: Label names in the order of the head's outputs.
        fields: The fields of a pair in the order of the segments.
        graph: `auto` or `tf2onnx`.
        pairs: The user's pairs for the proof.
        pairs_source: Where they are from, for the report.
        rows_left_out: The number of rows in the user's file without a usable pair, by reason.
        calibration: Pairs to measure the ranges of activations on; different from the proof's if there are enough.
        int8: Whether to make the int8 variant. If its gate fails, None leaves it out, and True fails the export.
        gate: The limits of the int8 variant.
        temperature: The number that the bundle divides logits by.
        source: The manifest's entry for the model.
    """

    format: int = 1
    model: str
    stage: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    graph: str
    pairs: tuple[LabelledPair, ...]
    pairs_source: str
    rows_left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    calibration: tuple[LabelledPair, ...] = ()
    int8: bool | None = None
    gate: Gate = DEFAULT_GATE
    temperature: float = 1.0
    source: Origin
