"""The inputs of a job: one file, object or stream, or all files of a pattern, directory or prefix, sorted by name."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pairlift.errors import InputError, StorageError, UsageError
from pairlift.formats import KINDS
from pairlift.formats.compression import SUFFIXES
from pairlift.names import MANIFEST_OF_PARTS, OLD_MANIFEST, OLD_PART, PART, REJECTS
from pairlift.storage.open import STREAM, open_input, open_store
from pairlift.storage.stamp import Input, Stamp, read_stamp
from pairlift.storage.url import SCHEME, is_remote

OPENERS = 16  # objects opened at the same time, because each takes a round trip
LOT_BYTES = 4 << 20  # of small inputs that share a lot
LOT_INPUTS = 4096
BELOW = "**/*"  # the pattern that a directory or a prefix stands for
SOME_PART = "/part-00000-000000000000-000000000000"

log = logging.getLogger(__name__)


def is_several(named: str) -> bool:
    """Whether a name is a directory, prefix or pattern (`*` and `?` match within one name, `**/` any folders)."""
    return named.endswith("/") or (("*" in named or "?" in named) and not _is_there(named))


def find_inputs(named: str) -> list[str]:
    """Return the names of the files or objects that a name stands for, sorted.

    `*`, `?` and `**/` do not match names of files and folders that begin with `.` or `_`. A directory or prefix stands
    for `**/*` below it; there, files with unsupported extensions are skipped. For patterns, directories and prefixes
    alike, empty files and the rejects of earlier jobs are skipped.

    Args:
        named: A path, `s3://bucket/key`, `-`, or a name that `is_several` accepts.

    Raises:
        InputError: Nothing was found, a folder cannot be read, or files are parts of an unfinished output.
        UsageError: The files have different formats, or the name is a directory without a slash at its end.
    """
    if named == STREAM or not is_several(named):
        if not is_remote(named) and os.path.isdir(named):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            raise UsageError(f"{named}: is a directory, expected a file; {named}/ names all files in it")
        return [named]
    found = _list_bucket(named) if is_remote(named) else _list_files(re.sub("/+", "/", named))
    names = [name for name in sorted(found) if not f".{name.rpartition('/')[2]}".endswith(REJECTS)]
    if named.endswith("/"):
        names = [name for name in names if _extension(name)]
    _check_finished(names)
    empty = [name for name in names if not found[name]]
    if empty:
        log.warning(
            "%s: skipped %d empty file%s, beginning with %s", named, len(empty), "s" * (len(empty) > 1), empty[0]
        )
    names = [name for name in names if found[name]]
    if not names:
        expected = f"files that end in {', '.join(KINDS)}" if named.endswith("/") else "a file that the pattern matches"
        raise InputError(f"{named}: found nothing, expected {expected}")
    other = next((name for name in names if _extension(name) != _extension(names[0])), None)
    if other:
        raise UsageError(
            f"{named}: {names[0]} and {other} have different formats, and a job reads only one; select one with a pattern, for "
            f"example one that ends in '*{_extension(names[0])}'"
        )
    return names


def check_apart(named: str, output: str) -> None:
    """Raise a `UsageError` if the name of several inputs would match the output too, once it exists."""
    if output == STREAM or not is_several(named) or is_remote(named) != is_remote(output):
        return
    head = _fixed_head(named)
    folder, rest = head[: head.rfind("/") + 1], named[len(head) :]
    places = [(folder, output.rstrip("/"))]
    if not is_remote(named):  # both as named and with symbolic links resolved
        places = [(f"{at(folder or '.').rstrip('/')}/", at(output)) for at in (os.path.abspath, os.path.realpath)]
    for root, place in places:
        made = place + SOME_PART + _extension(named) if output.endswith("/") else place
        if _translate(root + head[len(folder) :], rest).fullmatch(made):
            raise UsageError(
                f"{output}: would be one of the inputs that {named} names; choose another place for the output"
            )


def stamp_inputs(names: Sequence[str], first: Stamp) -> tuple[Input, ...]:
    """Return inputs with their stamps.

    Args:
        names: The inputs, in order.
        first: The stamp of the first input, which is already open.

    Raises:
        InputError: An input cannot be read.
    """

    def stamp(name: str) -> Input:
        with open_input(name) as file:
            return Input(name=name, stamp=read_stamp(file))

    with ThreadPoolExecutor(OPENERS) as pool:
        return (Input(name=names[0], stamp=first), *pool.map(stamp, names[1:]))


def cut_lots(inputs: Sequence[Input]) -> list[tuple[Input, ...]]:
    """Divide inputs into lots: a large input is a lot of its own, and small inputs that follow one another share a lot.

    A chunk never spans two lots, so the rows of each lot can be counted separately. The division depends only on the
    sizes.
    """
    lots: list[list[Input]] = []
    size = 0
    for each in inputs:
        size += each.stamp.size
        if not lots or size > LOT_BYTES or len(lots[-1]) == LOT_INPUTS:
            lots.append([])
            size = each.stamp.size
        lots[-1].append(each)
    return [tuple(lot) for lot in lots]


def common_folder(names: Sequence[str]) -> str:
    """Return the folder that contains all inputs, with its slash, or an empty string."""
    common = os.path.commonprefix([name[: name.rfind("/") + 1] for name in names])  # noqa: RUF071 (cut at a slash below)
    return common[: common.rfind("/") + 1]


def shown_name(name: str, folder: str) -> str:
    """Return an input's name relative to the folder that contains all inputs, as text that every encoding can hold."""
    return os.fsencode(name.removeprefix(folder)).decode(errors="backslashreplace")


def _extension(name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in SUFFIXES else ""
    return suffixes[-1] + compression if suffixes and suffixes[-1] in KINDS else ""


def _is_there(named: str) -> bool:
    return not is_remote(named) and os.path.lexists(named)


def _fixed_head(named: str) -> str:
    """Return the part of a pattern before its first `*` or `?`."""
    return named if _is_there(named) else re.split(r"[*?]", named)[0]


def _check_finished(names: Sequence[str]) -> None:
    """Raise an `InputError` if files are parts of an output that is not complete."""
    for pattern, manifest in ((PART, MANIFEST_OF_PARTS), (OLD_PART, OLD_MANIFEST)):
        for folder in sorted(
            {name[: name.rfind("/") + 1] for name in names if pattern.fullmatch(name.rpartition("/")[2])}
        ):
            try:
                with open_input(f"{folder}{manifest}"):
                    pass
            except InputError as error:
                raise InputError(
                    f"{folder}{manifest} is missing, so the parts next to it may be incomplete; let that job finish, or remove the "
                    "parts"
                ) from error


def _list_files(named: str) -> dict[str, int]:
    """Return the files that a name stands for, with their sizes.

    Raises:
        InputError: A folder cannot be read.
    """
    head = _fixed_head(named)
    wanted, rest = _translate(head, named[len(head) :]), named[len(head) :]
    endless = "**/" in rest or named.endswith("/")
    found, folders = dict[str, int](), [head[: head.rfind("/") + 1]]
    depth = folders[0].count("/") + rest.count("/")
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder or ".") as entries:
                for entry in entries:
                    name = folder + entry.name
                    if entry.is_dir(follow_symlinks=not endless):  # links may form cycles
                        folders += [f"{name}/"] if endless or name.count("/") < depth else []
                    elif wanted.fullmatch(name) and entry.is_file():
                        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                            found[name] = entry.stat().st_size
        except FileNotFoundError:
            continue
        except OSError as error:
            what = (error.strerror or str(error)).lower()
            raise InputError(
                f"{error.filename or folder}: {what}; everything below {folder} must be readable"
            ) from error
    return found


def _list_bucket(named: str) -> dict[str, int]:
    """Return the objects that a name stands for, with their sizes."""
    head = _fixed_head(named)
    bucket, _, key = head.removeprefix(SCHEME).partition("/")
    root = f"{SCHEME}{bucket}/"
    if not bucket or not head.startswith(root):
        raise UsageError(f"{named}: expected s3://bucket/key, with * and ? only in the key")
    try:
        found = {name: there.size for name, there in open_store(root).find(key).items()}
    except StorageError as error:
        raise InputError(str(error)) from error
    wanted = _translate(head, named[len(head) :])
    sizes = {root + name: size for name, size in found.items() if not name.endswith("/")}
    if named in sizes:  # the object with exactly that name
        return {named: sizes[named]}
    return {name: size for name, size in sizes.items() if wanted.fullmatch(name)}


def _translate(head: str, pattern: str) -> re.Pattern[str]:
    """Return the regular expression for names that begin with a fixed head and continue with a pattern."""
    steps = {"**/": "(?:(?![._])[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    whole = pattern + (BELOW if (head + pattern).endswith("/") else "")
    found, begins = re.escape(head), head.endswith("/") or not head
    for part in filter(None, re.split(r"(\*\*/|\*|\?)", whole)):
        found += ("(?![._])" if begins and part in ("*", "?") else "") + (steps.get(part) or re.escape(part))
        begins = part.endswith("/")
    return re.compile(found, re.DOTALL)
