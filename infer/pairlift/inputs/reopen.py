"""An input that is opened again: it must be what it was when the job began."""

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
    """Open an input that was there when the job began; an `InputError`, after which what is done is kept."""
    try:
        return open_input(each.name)
    except InputError as error:
        raise InputError(str(error), passing=True) from error


@contextlib.contextmanager
def open_other(each: Input, found: Format) -> Iterator[tuple[BinaryIO, Reader | None]]:
    """Open an input after the first, and its reader, which is None where it is empty; errors as `open_again` and `check_stamp`."""
    with open_again(each) as file:
        check_stamp(read_stamp(file), each)
        try:
            reader = formats.open_reader(file, each.name, found)
        except EmptyError:
            reader = None
        yield file, reader


def check_stamp(found: Stamp, expected: Input) -> None:
    """Hold what an input is known by now to what it was when the job began; an `InputError`."""
    if found != expected.stamp:
        raise InputError(
            f"{expected.name}: changed while it was read ({describe_change(expected.stamp, found)}); run again when it is complete"
        )
