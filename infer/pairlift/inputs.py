"""The inputs of a job: a file, an object or a stream, or several that a pattern, a directory or a prefix names, in order of name."""

from __future__ import annotations

import dataclasses
import glob
import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pairlift.errors import InputError, StorageError, UsageError
from pairlift.formats import KINDS, STREAM, open_input
from pairlift.formats.compression import SUFFIXES
from pairlift.storage import Stamp, is_remote, read_stamp

OPENERS = 16  # objects asked for at once: each takes a round trip
REJECTS = "rejects.jsonl"
BELOW = "**/*"  # what a directory or a prefix stands for
SOME_PART = "/part-000000000000"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One of a job's inputs, and what it was known by when the job began."""

    name: str
    stamp: Stamp


def is_several(named: str) -> bool:
    """Whether a name is a pattern (`*` and `?` within a folder's or file's name, `**/` for any folders), a directory or a prefix."""
    return named.endswith("/") or (("*" in named or "?" in named) and not _is_there(named))


def find_inputs(named: str) -> list[str]:
    """Return the names of the files or objects that a name stands for, in order.

    Empty files and the rejects of earlier jobs are passed over; in a directory or below a prefix also whatever has another extension than ours, or
    stands under a name that begins with `.` or `_`.

    Args:
        named: A path or `s3://bucket/key`, or what `is_several` knows; `-`.

    Raises:
        InputError: There are none, or an output there is not finished.
        UsageError: They are of several formats, or it is a directory without its slash.
    """
    if named == STREAM or not is_several(named):
        if not is_remote(named) and Path(named).is_dir():
            raise UsageError(f"{named}: is a directory, expected a file; {named}/ names all files in it")
        return [named]
    below = _list_bucket(named) if is_remote(named) else _list_files(named)
    head = _fixed_head(named)
    folder = head[: head.rfind("/") + 1]
    names = [name for name in sorted(below) if not f".{name.rpartition('/')[2]}".endswith(f".{REJECTS}")]
    if named.endswith("/"):
        unfinished = next((name for name in names if "/_job/" in f"/{name[len(folder) :]}"), None)
        if unfinished:
            raise InputError(
                f"{unfinished}: {named} has an output that is not finished; finish that job, or name files"
            )
        names = [name for name in names if _is_shown(name[len(folder) :]) and _extension(name)]
    empty = [name for name in names if not below[name]]
    if empty:
        log.warning("%s: passed over %d empty file%s, %s first", named, len(empty), "s" * (len(empty) > 1), empty[0])
    names = [name for name in names if below[name]]
    if not names:
        expected = f"files that end in {', '.join(KINDS)}" if named.endswith("/") else "a file that the pattern matches"
        raise InputError(f"{named}: found nothing, expected {expected}")
    first = names[0]
    for name in names:
        if _extension(name) != _extension(first):
            raise UsageError(
                f"{named}: {first} and {name} are of two formats, and a job has one; name those of one by a pattern that ends in, "
                f"say, '*{_extension(first)}'"
            )
    return names


def check_apart(named: str, output: str) -> None:
    """Refuse an output that the name of several inputs would stand for too, when it is there; a `UsageError`."""
    if output == STREAM or not is_several(named) or is_remote(named) != is_remote(output):
        return
    head = _fixed_head(named)
    folder = head[: head.rfind("/") + 1]
    root = folder if is_remote(named) else f"{str(Path(folder or '.').resolve()).rstrip('/')}/"
    at = output.rstrip("/") if is_remote(output) else str(Path(output).resolve())
    made = at + SOME_PART + _extension(named) if output.endswith("/") else at
    if _translate(root + head[len(folder) :], named[len(head) :]).fullmatch(made):
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


def _is_shown(name: str) -> bool:
    return not any(part.startswith((".", "_")) for part in name.split("/"))


def _is_there(named: str) -> bool:
    return not is_remote(named) and os.path.lexists(named)


def _fixed_head(named: str) -> str:
    """Return what stands before the first `*` or `?` of a pattern."""
    return named if _is_there(named) else re.split(r"[*?]", named)[0]


def _list_files(named: str) -> dict[str, int]:
    """Return the files that a name stands for, with their sizes."""
    head = _fixed_head(named)
    pattern = glob.escape(head) + named[len(head) :].replace("[", "[[]") + (BELOW if named.endswith("/") else "")
    found = glob.glob(pattern, recursive=True, include_hidden=named.endswith("/"))  # noqa: PTH207 (not relative to a folder)
    return {name: Path(name).stat().st_size for name in found if Path(name).is_file()}


def _list_bucket(named: str) -> dict[str, int]:
    """Return the objects that a name stands for, with their sizes."""
    from pairlift.storage.store import open_store
    from pairlift.storage.url import SCHEME

    head = _fixed_head(named)
    bucket, _, key = head.removeprefix(SCHEME).partition("/")
    root = f"{SCHEME}{bucket}/"
    if not bucket or not head.startswith(root):
        raise UsageError(f"{named}: expected s3://bucket/key, with * and ? in the key alone")
    try:
        found = open_store(root).sizes(key)
    except StorageError as error:
        raise InputError(str(error)) from error
    wanted = _translate(head, named[len(head) :])
    sizes = {root + name: size for name, size in found.items() if not name.endswith("/")}
    return {name: size for name, size in sizes.items() if wanted.fullmatch(name)}


def _translate(head: str, pattern: str) -> re.Pattern[str]:
    """Return what matches the names that a fixed head and a pattern stand for."""
    steps = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    whole = pattern + (BELOW if (head + pattern).endswith("/") else "")
    parts = re.split(r"(\*\*/|\*|\?)", whole)
    return re.compile(re.escape(head) + "".join(steps.get(part) or re.escape(part) for part in parts), re.DOTALL)
