"""Objects that have been created: which of them are inputs, and what their outputs are called."""

from __future__ import annotations

import re

from pairlift.aws.events import StoredObject
from pairlift.aws.jobs import ObjectJob, check_url
from pairlift.aws.settings import Settings
from pairlift.aws.shape import quote
from pairlift.errors import UsageError
from pairlift.formats.compression import SUFFIXES
from pairlift.formats.format import DELIMITERS, PARQUET, format_of
from pairlift.names import is_made
from pairlift.storage.url import S3Url

_COMPRESSED = "|".join(map(re.escape, SUFFIXES))
_TEXT = "|".join(map(re.escape, (*DELIMITERS, ".jsonl")))
_ENDING = re.compile(rf"(({_TEXT})({_COMPRESSED})?|{re.escape(PARQUET)})\Z", re.IGNORECASE | re.ASCII)
MARK = ".scores"  # goes before the extensions in the name of an output beside its input


def explain_ignored(found: StoredObject, settings: Settings) -> str | None:
    """Return why an object's name excludes it from scoring, or None if it does not.

    The function's own outputs are excluded: each would trigger another event and another output, for ever.

    Raises:
        UsageError: The output would overwrite the input.
    """
    name = found.key.rpartition("/")[2]
    if not name:
        return "a folder"
    if settings.output is not None and found.url.startswith(settings.output):
        if settings.output == f"s3://{found.bucket}/":
            raise UsageError(
                f"PAIRLIFT_OUTPUT: {settings.output} is the whole bucket that {quote(found.url)} was created in, so "
                "its output would overwrite it; expected another bucket, or a prefix"
            )
        return "under PAIRLIFT_OUTPUT"
    if is_made(found.key):
        return "made by a job"
    ending = _ENDING.search(name)
    if ending and name[: ending.start()].endswith(MARK):
        return "an output"
    return None


def explain_marked(found: StoredObject) -> str | None:
    """Return why an object's mark excludes it from scoring, or None: a job's own objects may have any name.

    Raises:
        UsageError: The URL does not name an object.
        StorageError: The object cannot be looked up.
    """
    from pairlift.storage.bucket import BucketStore

    check_url(found.url, "the object")
    there = BucketStore(S3Url(bucket=found.bucket, key="")).look(found.key)
    return "made by a job" if there is not None and there.mark else None


def make_job(found: StoredObject, settings: Settings) -> ObjectJob:
    """Return the job of an input.

    Raises:
        UsageError: The URL does not name an object, or has no extension of a supported format.
    """
    check_url(found.url, "the object")
    format_of(found.url)
    ending = _ENDING.search(found.url)
    if ending is None:  # such as a.csv/.: as a path it is a.csv, as a key another object
        raise UsageError(f"the object: found {quote(found.url)}, expected a name with the extension of a format")
    beside = f"{found.url[: ending.start()]}{MARK}{ending.group()}"
    output = beside if settings.output is None else settings.output + found.key
    return ObjectJob(input=found.url, output=check_url(output, "the output"))
