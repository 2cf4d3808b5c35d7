"""The settings of the function, from its environment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from pairlift.choices import FP32, VARIANTS
from pairlift.errors import UsageError
from pairlift.inputs.rejects import parse_most_rejects
from pairlift.model.session import count_threads

CPU_MEGABYTES = 1769  # memory for which Lambda gives one vCPU, according to its documentation
PREFIX = re.compile(r"s3://[^/]+/(.*/)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings, with the environment variable of each.

    Attributes:
        bundle: A directory, or `s3://…` (PAIRLIFT_BUNDLE; by default `bundle` beside the code).
        variant: `fp32` or `int8` (PAIRLIFT_VARIANT).
        threads: How many batches are computed at once.
        output: Where outputs of events are written, `s3://bucket/` or `s3://bucket/prefix/`; None writes each beside
            its input (PAIRLIFT_OUTPUT).
        fields: The option `--fields`, for jobs that do not give it (PAIRLIFT_FIELDS).
        max_rejects: The option `--max-rejects`, for jobs that do not give it (PAIRLIFT_MAX_REJECTS).
        queue: The URL of the queue that unfinished jobs are sent to; None for the queue that an event came from
            (PAIRLIFT_QUEUE_URL).
    """

    bundle: str
    variant: str = FP32
    threads: int = 1
    output: str | None = None
    fields: str | None = None
    max_rejects: str | None = None
    queue: str | None = None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings; an empty variable counts as not set.

    Raises:
        UsageError: A variable has an invalid value.
    """
    given = {name: value for name, value in environment.items() if value}
    variant = given.get("PAIRLIFT_VARIANT", FP32)
    if variant not in VARIANTS:
        raise UsageError(f"PAIRLIFT_VARIANT: found {variant!r}, expected {' or '.join(VARIANTS)}")
    output = given.get("PAIRLIFT_OUTPUT")
    if output is not None and not PREFIX.fullmatch(output):
        raise UsageError(f"PAIRLIFT_OUTPUT: found {output!r}, expected s3://bucket/prefix/ with a slash at its end")
    most = given.get("PAIRLIFT_MAX_REJECTS")
    if most is not None:
        try:
            parse_most_rejects(most)
        except UsageError as error:
            raise UsageError(f"PAIRLIFT_MAX_REJECTS: {error}") from None
    queue = given.get("PAIRLIFT_QUEUE_URL")
    if queue is not None and not queue.startswith(("https://", "http://")):
        raise UsageError(f"PAIRLIFT_QUEUE_URL: found {queue!r}, expected the URL of a queue: https://…")
    return Settings(
        bundle=_find_bundle(given),
        variant=variant,
        threads=_count_threads(given.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")),
        output=output,
        fields=given.get("PAIRLIFT_FIELDS"),
        max_rejects=most,
        queue=queue,
    )


def _find_bundle(given: Mapping[str, str]) -> str:
    bundle = given.get("PAIRLIFT_BUNDLE", "bundle")
    return bundle if bundle.startswith("s3://") else str(Path(given.get("LAMBDA_TASK_ROOT", ".")) / bundle)


def _count_threads(memory: str | None) -> int:
    """Return one thread for each vCPU that comes with the memory size, rounded to the nearest whole number."""
    if memory is None:
        return count_threads()
    if not re.fullmatch(r"[1-9]\d{0,8}", memory, re.ASCII):
        raise UsageError(f"AWS_LAMBDA_FUNCTION_MEMORY_SIZE: found {memory!r}, expected a number of MB")
    return min(count_threads(), max(1, round(int(memory) / CPU_MEGABYTES)))
