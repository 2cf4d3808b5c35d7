"""An export job: what the command hands to the process that has TensorFlow."""

from __future__ import annotations

import dataclasses

from pairlift.manifest import Source
from pairlift_training.run import LabelledPair


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
    source: Source
