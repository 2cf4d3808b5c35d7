"""A `.keras` file, inspected without Keras: a zip whose config names the class."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

from pairlift.errors import InputError

ARCHITECTURES = ("BertTextClassifier", "RobertaTextClassifier")
WANTED = ("config.json", "metadata.json", "model.weights.h5")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KerasFile:
    """The properties of a `.keras` file: its class, and the number of outputs of its head."""

    architecture: str
    outputs: int


def inspect_keras_file(path: Path) -> KerasFile:
    """Inspect a `.keras` file.

    Raises:
        InputError: It is no `.keras` file, is truncated or damaged, or has an architecture that is not supported.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a run directory or a .keras file")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            raise InputError(
                f"{path}: a .keras file that is cut off ({path.stat().st_size} bytes, its end is missing); copy it again"
            )
        kind = "HDF5, the old .h5 format" if start.startswith(b"\x89HDF") else "something else"
        raise InputError(f"{path}: not a .keras file but {kind}; save the model with model.save('model.keras')")
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in WANTED if name not in archive.namelist()]
            if missing:
                raise InputError(
                    f"{path}: a zip without {', '.join(missing)}, so not a .keras file; save the model with model.save('model.keras')"
                )
            bad = archive.testzip()
            if bad:
                raise InputError(f"{path}: {bad} in it is damaged; copy the file again")
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise InputError(f"{path}: a .keras file that is damaged ({error}); copy it again") from error
    name = config.get("class_name") if isinstance(config, dict) else None
    if name not in ARCHITECTURES:
        raise InputError(f"{path}: holds a {name}; supported are KerasHub's {' and '.join(ARCHITECTURES)}")
    inner = config.get("config", {})
    if not inner.get("preprocessor"):
        raise InputError(
            f"{path}: the {name} has no preprocessor, so its tokenizer is not known; save it with preprocessor=…"
        )
    return KerasFile(architecture=str(name), outputs=int(inner.get("num_classes", 0)))
