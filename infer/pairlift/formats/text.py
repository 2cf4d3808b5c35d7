"""The writer that all text formats share: it writes row by row, and compresses each part separately."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from pairlift.errors import RowError
from pairlift.formats.compression import compress
from pairlift.formats.row import Row, Written

BLOCK = 1 << 20  # bytes copied at a time


class TextWriter:
    """Writes rows one by one. Each format has its own `spell`, which turns a row into bytes."""

    def __init__(self, header: bytes, compression: str) -> None:
        self._compression = compression
        self.header = compress(header, compression)

    def spell(self, row: Row, prediction: str, probabilities: Sequence[str]) -> bytes:
        """Return one row with its line end. A probability is the shortest decimal that gives the same float32.

        Raises:
            RowError: The format cannot hold the row.
        """
        raise NotImplementedError

    def write(self, rows: Sequence[Row], predictions: Sequence[str], probabilities: NDArray[np.float32]) -> Written:
        """Return the part that holds rows; see `Writer.write`."""
        output: list[bytes] = []
        errors: dict[int, RowError] = {}
        scores = format_scores(probabilities)
        for i, (row, prediction, numbers) in enumerate(zip(rows, predictions, scores, strict=True)):
            try:
                output.append(self.spell(row, prediction, numbers))
            except RowError as error:
                errors[i] = error
        return Written(output=compress(b"".join(output), self._compression), errors=errors)

    def join(self, parts: Iterable[BinaryIO], file: BinaryIO) -> None:
        """Write the header and the parts."""
        file.write(self.header)
        join_files(parts, file)


def join_files(parts: Iterable[BinaryIO], file: BinaryIO) -> None:
    """Write files one after the other."""
    for part in parts:
        shutil.copyfileobj(part, file, BLOCK)


def format_scores(probabilities: NDArray[np.float32]) -> list[list[str]]:
    """Return each row's probabilities as the shortest decimals that give the same float32."""
    text = orjson.dumps(np.ascontiguousarray(probabilities), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return [row.split(",") for row in text[2:-2].split("],[")] if len(probabilities) else []
