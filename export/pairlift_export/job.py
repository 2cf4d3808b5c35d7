"""An export job: what the command hands to the process that has TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pairlift.model.manifest import Source
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
        rows_left_out: Rows of the user's file that hold no pair, by reason.
        calibration: Pairs to measure the ranges of activations on; not the proof's, where there were enough.
        int8: Whether the int8 variant is made: None leaves it out when its gate fails, True fails then.
        gate: What int8 may do.
        temperature: What logits are divided by in the bundle.
        source: What the manifest says of the model.
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
    source: Source
