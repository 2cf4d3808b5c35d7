"""A run directory: what training leaves behind, and what the export reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from pairlift import record
from pairlift.digest import sha256_file
from pairlift.errors import InputError, RecordError
from pairlift.model.metrics import Metrics
from pairlift_training.recipe import Recipe

RUN = "run.json"
MODEL = "model.keras"
HISTORY = "history.csv"
CURVE = "learning_curve.png"
RATE = "learning_rate.png"
CONFUSION = "confusion_matrix.png"
CARD = "MODEL_CARD.md"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """A data set as it was used.

    Attributes:
        source: As it was named, without the folders.
        sha256: Over the pairs and labels that were kept, in order.
        rows: Rows kept.
        filtered: Rows left out, by reason.
    """

    source: str
    sha256: str
    rows: int
    filtered: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """A pair in model order, with its label's name, or None where it has none."""

    first: str
    second: str
    label: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run.

    Attributes:
        architecture: The KerasHub class of model.keras.
        labels: Label names in the order of the head's outputs.
        fields: The fields of a pair in the order of the segments.
        sequence_length: Most tokens of a row.
        parameters: How many weights the model has.
        recipe: What was used, overrides included.
        backend: The Keras backend that trained.
        devices: Over how many each batch was spread.
        precision: The dtype policy it trained under; model.keras is float32 whatever it was.
        epochs: Epochs that were trained.
        kept_epoch: The one whose weights were kept, from 1.
        seconds: Spent training, pauses left out.
        data: The data sets by their part: train, validation, test.
        metrics: On the validation and test data.
        held_out: Pairs that were not trained on, for the export's proof.
        versions: Of everything that had a part.
        model_sha256: Of model.keras.
        temperature: What logits are divided by before the softmax; 1 where the run was not calibrated.
        calibrated_on: What the temperature was fitted on.
    """

    format: int = 2
    architecture: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    sequence_length: int
    parameters: int
    recipe: Recipe
    backend: str
    devices: int = 1
    precision: str = "float32"
    epochs: int = 0
    kept_epoch: int = 0
    seconds: float = 0.0
    data: Mapping[str, DataUse]
    metrics: Mapping[str, Metrics]
    held_out: tuple[LabelledPair, ...]
    versions: Mapping[str, str]
    model_sha256: str
    temperature: float = 1.0
    calibrated_on: DataUse | None = None


def read_run(path: Path) -> Run:
    """Read a run directory.

    Raises:
        InputError: No run there, or its model is missing or altered.
    """
    if not (path / RUN).is_file():
        raise InputError(f"{path}: holds no {RUN}; expected a run directory, as pairlift train writes it")
    try:
        run = record.load(Run, (path / RUN).read_bytes(), str(path / RUN))
    except RecordError as error:
        raise InputError(str(error)) from None
    if not (path / MODEL).is_file():
        raise InputError(f"{path / MODEL}: missing; copy the run whole, or train it again")
    if sha256_file(path / MODEL) != run.model_sha256:
        raise InputError(
            f"{path / MODEL}: altered since the training (sha256 is not that of {RUN}); export the file itself with --labels and --fields"
        )
    return run
