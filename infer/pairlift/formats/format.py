"""Formats: the format of a file of rows, according to its extensions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pairlift.choices import MINIMAL
from pairlift.errors import UsageError
from pairlift.formats.compression import SUFFIXES, check_compression
from pairlift.storage.open import STREAM

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
KINDS = (*DELIMITERS, ".jsonl", PARQUET)


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """The format of a file.

    Attributes:
        kind: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
        compression: `.gz`, `.zst` or empty; empty for Parquet, which has its own compression.
        quoted: Whether fields of CSV or TSV may be quoted.
    """

    kind: str
    compression: str = ""
    quoted: bool = True

    def __str__(self) -> str:
        usual = self.quoted == (self.kind != ".tsv")
        return self.kind + self.compression + ("" if usual else ", quoted" if self.quoted else ", unquoted")

    @property
    def delimiter(self) -> str | None:
        """The character between fields of CSV and TSV; None for other formats."""
        return DELIMITERS.get(self.kind)


def format_of(path: str, other: str | None = None, quoting: str | None = None) -> Format:
    """Return a file's format by its extensions.

    Args:
        path: The file. A stream (`-`) has the format of the other end, uncompressed, or JSON lines if that is Parquet.
            The files in a directory (`/` at its end) have the format that its name says, or otherwise that of the other
            end.
        other: The other end of a job: the output for an input, and the input for an output.
        quoting: `minimal` or `none`, for CSV and TSV. By default CSV is quoted where necessary, and TSV is not quoted.

    Raises:
        UsageError: The extension is not supported, or the extra that it needs is not installed.
    """
    if path == STREAM:
        kind = format_of(other).kind if other not in (None, STREAM) else ".jsonl"
        return _format(".jsonl" if kind == PARQUET else kind, "", quoting)
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if path.endswith("/"):
        if other in (None, STREAM):
            raise UsageError(f"{path}: ends in a slash; expected a file's name")
        if not any(suffix in KINDS for suffix in suffixes[-2:]):  # its files have the format of the other end
            return format_of(str(other), None, quoting)
    compression = suffixes.pop() if suffixes and suffixes[-1] in SUFFIXES else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in KINDS or (kind == PARQUET and compression):
        raise UsageError(
            f"{path}: found extension {kind + compression or 'none'!r}, expected one of {', '.join(KINDS)}, "
            f"or a text format with {' or '.join(SUFFIXES)}"
        )
    check_compression(compression, path)
    if kind == PARQUET:
        from pairlift.formats.parquet import import_arrow

        import_arrow(path)
    return _format(kind, compression, quoting)


def _format(kind: str, compression: str, quoting: str | None) -> Format:
    usual = quoting is None or kind not in DELIMITERS
    return Format(kind, compression, kind != ".tsv" if usual else quoting == MINIMAL)
