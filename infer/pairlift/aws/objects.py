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
MARK = ".scores"  # before the extensions of an output that stands beside its input


def explain_ignored(found: StoredObject, settings: Settings) -> str | None:
    """Return why an object is not scored by its name, or None when it is.

    Outputs of ours are not: each would make another event, and another output, for ever.

    Raises:
        UsageError: Outputs would stand in the place of inputs.
    """
    name = found.key.rpartition("/")[2]
    if not name:
        return "a folder"
    if settings.output is not None and found.url.startswith(settings.output):
        if settings.output == f"s3://{found.bucket}/":
            raise UsageError(
                f"PAIRLIFT_OUTPUT: {settings.output} is the whole bucket that {quote(found.url)} came to, and its output would "
                "stand in its place; expected another bucket, or a prefix"
            )
        return "under PAIRLIFT_OUTPUT"
    if is_made(found.key):
        return "made by a job"
    ending = _ENDING.search(name)
    if ending and name[: ending.start()].endswith(MARK):
        return "an output"
    return None


def explain_marked(found: StoredObject) -> str | None:
    """Return why an object that is there is not scored, or None when it is: a job's own may have any name.

    Raises:
        UsageError: No name of an object.
        StorageError: It is not known what it is.
    """
    from pairlift.storage.bucket import BucketStore

    check_url(found.url, "the object")
    there = BucketStore(S3Url(bucket=found.bucket, key="")).look(found.key)
    return "made by a job" if there is not None and there.mark else None


def make_job(found: StoredObject, settings: Settings) -> ObjectJob:
    """Return the job of an input.

    Raises:
        UsageError: No name of an object, or an extension that is not one of ours.
    """
    check_url(found.url, "the object")
    format_of(found.url)
    ending = _ENDING.search(found.url)
    if ending is None:  # as in a.csv/., which is a path to a.csv and another object's key
        raise UsageError(f"the object: found {quote(found.url)}, expected a name with the extension of a format")
    beside = f"{found.url[: ending.start()]}{MARK}{ending.group()}"
    output = beside if settings.output is None else settings.output + found.key
    return ObjectJob(input=found.url, output=check_url(output, "the output"))
