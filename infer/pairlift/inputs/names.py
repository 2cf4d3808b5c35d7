"""The inputs of a job: a file, an object or a stream, or several that a pattern, a directory or a prefix names, in order of name."""

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

OPENERS = 16  # objects asked for at once: each takes a round trip
LOT_BYTES = 4 << 20  # of small inputs that are read as one
LOT_INPUTS = 4096
BELOW = "**/*"  # what a directory or a prefix stands for
SOME_PART = "/part-00000-000000000000-000000000000"

log = logging.getLogger(__name__)


def is_several(named: str) -> bool:
    """Whether a name is a pattern (`*` and `?` within a folder's or file's name, `**/` for any folders), a directory or a prefix."""
    return named.endswith("/") or (("*" in named or "?" in named) and not _is_there(named))


def find_inputs(named: str) -> list[str]:
    """Return the names of the files or objects that a name stands for, in order.

    `*`, `?` and `**/` stand for no folder's or file's name that begins with `.` or `_`, and a directory or prefix is `**/*` below
    it. Files of other extensions than ours are passed over there, and everywhere empty ones and the rejects of earlier jobs.

    Args:
        named: A path or `s3://bucket/key`, or what `is_several` knows; `-`.

    Raises:
        InputError: There are none, a folder cannot be read, or an output there is not finished.
        UsageError: They are of several formats, or it is a directory without its slash.
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
        log.warning("%s: passed over %d empty file%s, %s first", named, len(empty), "s" * (len(empty) > 1), empty[0])
    names = [name for name in names if found[name]]
    if not names:
        expected = f"files that end in {', '.join(KINDS)}" if named.endswith("/") else "a file that the pattern matches"
        raise InputError(f"{named}: found nothing, expected {expected}")
    other = next((name for name in names if _extension(name) != _extension(names[0])), None)
    if other:
        raise UsageError(
            f"{named}: {names[0]} and {other} are of two formats, and a job has one; name those of one by a pattern that ends in, "
            f"say, '*{_extension(names[0])}'"
        )
    return names


def check_apart(named: str, output: str) -> None:
    """Refuse an output that the name of several inputs would stand for too, when it is there; a `UsageError`."""
    if output == STREAM or not is_several(named) or is_remote(named) != is_remote(output):
        return
    head = _fixed_head(named)
    folder, rest = head[: head.rfind("/") + 1], named[len(head) :]
    places = [(folder, output.rstrip("/"))]
    if not is_remote(named):  # as they are named, and as they are without links
        places = [(f"{at(folder or '.').rstrip('/')}/", at(output)) for at in (os.path.abspath, os.path.realpath)]
    for root, place in places:
        made = place + SOME_PART + _extension(named) if output.endswith("/") else place
        if _translate(root + head[len(folder) :], rest).fullmatch(made):
            raise UsageError(
                f"{output}: would be one of the inputs that {named} names; choose another place for the output"
            )


def stamp_inputs(names: Sequence[str], first: Stamp) -> tuple[Input, ...]:
    """Return inputs with what they are known by.

    Args:
        names: In order.
        first: Of the first, which is open.

    Raises:
        InputError: One cannot be read.
    """

    def stamp(name: str) -> Input:
        with open_input(name) as file:
            return Input(name=name, stamp=read_stamp(file))

    with ThreadPoolExecutor(OPENERS) as pool:
        return (Input(name=names[0], stamp=first), *pool.map(stamp, names[1:]))


def cut_lots(inputs: Sequence[Input]) -> list[tuple[Input, ...]]:
    """Return the lots of inputs: a large one by itself, small ones that stand one after the other together.

    A chunk never spans two lots, so their rows can be counted apart. The cuts follow from the sizes alone.
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
    """Return the folder that all inputs are in, with its slash, or nothing."""
    common = os.path.commonprefix([name[: name.rfind("/") + 1] for name in names])  # noqa: RUF071 (cut at a slash below)
    return common[: common.rfind("/") + 1]


def shown_name(name: str, folder: str) -> str:
    """Return an input's name below the folder that all are in, as text that every encoding can hold."""
    return os.fsencode(name.removeprefix(folder)).decode(errors="backslashreplace")


def _extension(name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in SUFFIXES else ""
    return suffixes[-1] + compression if suffixes and suffixes[-1] in KINDS else ""


def _is_there(named: str) -> bool:
    return not is_remote(named) and os.path.lexists(named)


def _fixed_head(named: str) -> str:
    """Return what stands before the first `*` or `?` of a pattern."""
    return named if _is_there(named) else re.split(r"[*?]", named)[0]


def _check_finished(names: Sequence[str]) -> None:
    """Refuse parts of an output that is not complete; an `InputError`."""
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
                    if entry.is_dir(follow_symlinks=not endless):  # links may lead in circles
                        folders += [f"{name}/"] if endless or name.count("/") < depth else []
                    elif wanted.fullmatch(name) and entry.is_file():
                        with contextlib.suppress(FileNotFoundError):  # it went while it was looked at
                            found[name] = entry.stat().st_size
        except FileNotFoundError:
            continue
        except OSError as error:
            what = (error.strerror or str(error)).lower()
            raise InputError(f"{error.filename or folder}: {what}; expected what can be read below {folder}") from error
    return found


def _list_bucket(named: str) -> dict[str, int]:
    """Return the objects that a name stands for, with their sizes."""
    head = _fixed_head(named)
    bucket, _, key = head.removeprefix(SCHEME).partition("/")
    root = f"{SCHEME}{bucket}/"
    if not bucket or not head.startswith(root):
        raise UsageError(f"{named}: expected s3://bucket/key, with * and ? in the key alone")
    try:
        found = {name: there.size for name, there in open_store(root).find(key).items()}
    except StorageError as error:
        raise InputError(str(error)) from error
    wanted = _translate(head, named[len(head) :])
    sizes = {root + name: size for name, size in found.items() if not name.endswith("/")}
    if named in sizes:  # the object of that very name
        return {named: sizes[named]}
    return {name: size for name, size in sizes.items() if wanted.fullmatch(name)}


def _translate(head: str, pattern: str) -> re.Pattern[str]:
    """Return what matches the names that a fixed head and a pattern stand for."""
    steps = {"**/": "(?:(?![._])[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    whole = pattern + (BELOW if (head + pattern).endswith("/") else "")
    found, begins = re.escape(head), head.endswith("/") or not head
    for part in filter(None, re.split(r"(\*\*/|\*|\?)", whole)):
        found += ("(?![._])" if begins and part in ("*", "?") else "") + (steps.get(part) or re.escape(part))
        begins = part.endswith("/")
    return re.compile(found, re.DOTALL)
