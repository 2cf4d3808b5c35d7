"""Opening an input again: it must not have changed since the job began."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from pairlift import formats
from pairlift.errors import EmptyError, InputError
from pairlift.formats import Format, Reader
from pairlift.storage.open import open_input
from pairlift.storage.stamp import Input, Stamp, describe_change, read_stamp


def open_again(each: Input) -> BinaryIO:
    """Open an input that existed when the job began. Raises an `InputError` that keeps the finished chunks."""
    try:
        return open_input(each.name)
    except InputError as error:
        raise InputError(str(error), passing=True) from error


@contextlib.contextmanager
def open_other(each: Input, found: Format) -> Iterator[tuple[BinaryIO, Reader | None]]:
    """Open an input after the first, and its reader, which is None if the input is empty.

    Raises what `open_again` and `check_stamp` raise.
    """
    with open_again(each) as file:
        check_stamp(read_stamp(file), each)
        try:
            reader = formats.open_reader(file, each.name, found)
        except EmptyError:
            reader = None
        yield file, reader


def check_stamp(found: Stamp, expected: Input) -> None:
    """Raise an `InputError` if an input's stamp has changed since the job began."""
    if found != expected.stamp:
        raise InputError(
            f"{expected.name}: changed while it was read ({describe_change(expected.stamp, found)}); run again when it is complete"
        )
