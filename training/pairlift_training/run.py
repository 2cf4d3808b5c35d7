"""A run directory: training writes it, and the export reads it."""

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
        source: Its name as given, without the folders.
        sha256: The digest of the pairs and labels that were kept, in order.
        rows: The number of rows kept.
        filtered: The number of rows left out, by reason.
    """

    source: str
    sha256: str
    rows: int
    filtered: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """A pair in model order, with its label's name, or None if it has none."""

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
        sequence_length: The most tokens of a row.
        parameters: How many weights the model has.
        recipe: The recipe, overrides included.
        backend: The Keras backend that trained.
        devices: The number of devices that each batch was spread over.
        precision: The dtype policy that it was trained under; model.keras is always float32.
        epochs: The number of epochs that were trained.
        kept_epoch: The epoch whose weights were kept, counted from 1.
        seconds: The time spent training, without interruptions.
        data: The data sets by their part: train, validation, test.
        metrics: The metrics on the validation and test data.
        held_out: Pairs that were not trained on, for the export's proof.
        versions: The versions of the packages that took part.
        model_sha256: The sha256 of model.keras.
        temperature: The number that logits are divided by before the softmax; 1 if the run was not calibrated.
        calibrated_on: The data that the temperature was fitted on, or None.
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
        InputError: There is no run, or its model is missing or altered.
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
