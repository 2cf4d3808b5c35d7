"""Find the store of an output by its name, and refuse places that cannot hold an output."""

from __future__ import annotations

import os
from pathlib import Path

from pairlift.errors import DestinationError, UsageError
from pairlift.formats import Format
from pairlift.names import Key, Names
from pairlift.outputs.output import Output
from pairlift.storage.open import STREAM, open_store
from pairlift.storage.url import S3Url, is_remote, parse_url

LONGEST_KEY = 1024  # bytes, on S3
SOME_MARK, SOME_KEY = "0" * 12, Key(0, 0)


def open_output(output: str, written: Format) -> Output:
    """Return the output of a name.

    Args:
        output: A path, `s3://bucket/key`, or either with `/` at its end for a directory or prefix of parts.
        written: The format of the output.

    Raises:
        UsageError: The name is not a valid S3 URL, or the extra that S3 needs is not installed.
    """
    if output.endswith("/"):
        if is_remote(output):
            parse_url(output)
        names = Names(suffix=written.kind + written.compression)
        return Output(output, open_store(output, names.folder), names)
    if is_remote(output):
        url = parse_url(output)
        folder, _, name = url.key.rpartition("/")
        root = str(S3Url(bucket=url.bucket, key=f"{folder}/" if folder else ""))
    else:
        folder, name = os.path.split(output)
        root = os.path.join(folder, "") if folder else ""  # noqa: PTH118 (a name is kept as the user gave it)
    names = Names(output=name)
    return Output(output, open_store(root, names.folder), names)


def check_place(output: Output, sources: list[str], bundle: str | Path) -> None:
    """Refuse a place that cannot hold the output.

    Raises:
        UsageError: The folder does not exist, a name is too long, or the output would overwrite an input or the bundle.
        DestinationError: The output should be a directory, but is an existing file.
    """
    if is_remote(output.name):
        _check_key(output)
    else:
        _check_folder(output)
    _check_bundle(output, str(bundle))
    for source in sources:
        _check_source(output, source)


def _check_key(output: Output) -> None:
    prefix = parse_url(output.name).key.removesuffix(output.names.output)
    longest = max(len((prefix + name).encode()) for name in _all_names(output))
    if longest > LONGEST_KEY:
        raise UsageError(
            f"{output.name}: the key is {longest - LONGEST_KEY} bytes too long for the objects that go with it; choose a shorter one"
        )


def _check_folder(output: Output) -> None:
    path = Path(output.name)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    longest = max(len(os.fsencode(part)) for name in (*_all_names(output), path.name) for part in name.split("/"))
    most = os.pathconf(path.parent, "PC_NAME_MAX")
    if longest > most:
        raise UsageError(
            f"{path}: the name is {longest - most} bytes too long for the files that go with it; choose a shorter one"
        )
    if output.names.whole and os.path.lexists(path) and not path.is_dir():
        raise DestinationError(f"{path}: exists and is not a directory; choose another name")


def _all_names(output: Output) -> list[str]:
    names = output.names
    return [
        names.output, names.manifest, names.rejects(SOME_MARK), names.job, names.part(SOME_MARK, SOME_KEY),
        names.receipt(SOME_MARK, SOME_KEY), names.plan(SOME_MARK, 0, 0),
    ]  # fmt: skip


def _check_source(output: Output, source: str) -> None:
    names = output.names
    if source == STREAM:
        if names.whole and not is_remote(output.name):
            raise UsageError(f"{output.name}: standard input cannot be scored into a directory; name a file")
        return
    if names.whole and _is_below(source, output.name):
        raise UsageError(f"{output.name}: the input {source} is in it; choose another place for the output")
    ours = [output.store.root + name for name in (names.output, names.manifest, names.rejects(SOME_MARK))]
    ours += [output.store.root + names.folder]
    same = (
        source in ours if is_remote(source) else os.path.realpath(source) in [os.path.realpath(name) for name in ours]
    )
    if same:
        raise UsageError(
            f"{output.name}: the job would write over its input {source}; choose another name for the output"
        )


def _check_bundle(output: Output, bundle: str) -> None:
    inside = bundle if bundle.endswith("/") else f"{bundle}/"
    if _is_below(output.name, inside):
        raise UsageError(f"{output.name}: is in the bundle {bundle}, which must not be changed; choose another place")
    if output.names.whole and _is_below(inside, output.name):
        raise UsageError(f"{output.name}: holds the bundle {bundle}; choose a directory or prefix that is empty")


def _is_below(name: str, folder: str) -> bool:
    if is_remote(name) or is_remote(folder):
        return name.startswith(folder)
    return Path(os.path.realpath(name)).is_relative_to(os.path.realpath(folder))
