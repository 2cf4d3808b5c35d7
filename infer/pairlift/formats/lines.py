"""Lines of a binary file with their positions, up to a maximum length."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from pairlift.errors import InputError
from pairlift.formats.failures import FAILURES, explain_failure
from pairlift.formats.row import Place

MAX_LINE = 1 << 20  # bytes; a longer line is a row with an error, and is never in memory as a whole
UTF8_BOM = b"\xef\xbb\xbf"
PACKED = {b"\x1f\x8b": "gzip (.gz)", b"\x28\xb5\x2f\xfd": "zstd (.zst)", b"PAR1": "Parquet (.parquet)"}
FOREIGN_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Attributes:
        number: The line's number, from 1.
        start: The uncompressed offset of its first byte.
        end: The uncompressed offset of the next line.
        data: Its bytes, including the line end; only the first `MAX_LINE` bytes of a longer line.
    """

    number: int
    start: int
    end: int
    data: bytes

    @property
    def whole(self) -> bool:
        """Whether `data` is the complete line."""
        return len(self.data) == self.end - self.start


class LineReader:
    """Reads lines one by one, and lets the caller put lines back.

    Raises:
        InputError: The first bytes are not those of UTF-8 text, or the file is compressed and damaged, or cannot be
            read.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._number = 0
        self._offset = 0
        self._returned: deque[Line] = deque()
        first = self._read()
        if first is not None:
            name = next((name for bom, name in FOREIGN_BOMS.items() if first.data.startswith(bom)), None)
            if name:
                raise InputError(f"{source}: {name}, expected UTF-8; convert it: iconv -f {name} -t UTF-8")
            packed = next((kind for magic, kind in PACKED.items() if first.data.startswith(magic)), None)
            if packed:
                raise InputError(f"{source}: is {packed}, expected text; give the file that extension")
            if first.data.startswith(UTF8_BOM):
                first = dataclasses.replace(first, start=len(UTF8_BOM), data=first.data[len(UTF8_BOM) :])
            self._returned.append(first)

    def move(self, file: BinaryIO, place: Place) -> None:
        """Continue with a file that is positioned at a place."""
        self._returned.clear()
        self._file = file
        self._number, self._offset = (place.line or 1) - 1, place.start or 0

    def next(self) -> Line | None:
        """Return the next line, or None at the end."""
        return self._returned.popleft() if self._returned else self._read()

    def take_back(self, lines: list[Line]) -> None:
        """Put lines back, to be read again."""
        self._returned.extendleft(reversed(lines))

    def scan(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield number, start, end and data of each line, which is faster than making a `Line`.

        Between two of them, the caller may read lines with `next`, and put lines back.
        """
        while True:
            if self._returned:
                line = self._returned.popleft()
                yield line.number, line.start, line.end, line.data
                continue
            try:
                data = self._file.readline(MAX_LINE)
                size = len(data)
                if size == MAX_LINE:
                    size += self._pass_rest(data)
            except FAILURES as error:
                raise self._explain(error) from error
            if not data:
                return
            start = self._offset
            self._offset = end = start + size
            self._number = number = self._number + 1
            yield number, start, end, data

    def _read(self) -> Line | None:
        try:
            data = self._file.readline(MAX_LINE)
            size = len(data) + self._pass_rest(data)
        except FAILURES as error:
            raise self._explain(error) from error
        if not data:
            return None
        self._number += 1
        line = Line(self._number, self._offset, self._offset + size, data)
        self._offset = line.end
        return line

    def _pass_rest(self, data: bytes) -> int:
        """Read to the end of a line that begins with `data`, and return how many bytes were skipped."""
        passed = 0
        while len(data) == MAX_LINE and not data.endswith(b"\n"):
            data = self._file.readline(MAX_LINE)
            passed += len(data)
        return passed

    def _explain(self, error: Exception) -> InputError:
        return explain_failure(error, self._source, f"after line {self._number}")
