"""Jobs: an object to score and the object for its scores, as given in a request or a message."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from pairlift.aws.deadline import Deadline
from pairlift.aws.settings import Settings
from pairlift.aws.shape import check_keys, member, quote
from pairlift.choices import QUOTINGS
from pairlift.encoding.counts import Tally
from pairlift.errors import RecordError, UsageError
from pairlift.inputs.options import JobOptions
from pairlift.inputs.plan import Descriptor
from pairlift.inputs.rejects import parse_most_rejects
from pairlift.model.scorer import Scorer
from pairlift.record import load

if TYPE_CHECKING:
    from pairlift.outputs.outcome import Outcome

URL = re.compile(r"s3://[A-Za-z0-9._-]+/.*[^/].*", re.DOTALL)
MOST_KEY_BYTES = 1024  # S3's limit
BOUND = re.compile(r"\d{1,12}|\d{1,3}(\.\d{1,6})?%", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectJob:
    """`{"input": "s3://…", "output": "s3://…"}` and options of `pairlift score`; an option that is not given is None.

    With `chunk`, a line of `pairlift plan`, only that chunk is scored, and the output is not assembled.
    """

    kind: ClassVar[str] = "job"
    input: str
    output: str
    fields: str | None = None
    max_rejects: str | None = None
    quoting: str | None = None
    raw: bool = True
    chunk: Descriptor | None = None

    def dump(self) -> str:
        """Return the job as JSON that `read_job` reads."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        return orjson.dumps(given).decode()


KEYS = tuple(field.name for field in dataclasses.fields(ObjectJob))


def read_job(value: Mapping[str, Any], where: str) -> ObjectJob:
    """Read a job.

    Raises:
        UsageError: The input or output is not an S3 object, a key is unknown, or a value is invalid.
    """
    check_keys(value, KEYS, where)
    for name in ("input", "output"):
        check_url(member(value, name, str, where), f"{where}.{name}")
    if value["input"] == value["output"]:
        raise UsageError(f"{where}.output: same as the input, which would be overwritten; choose another name")
    quoting = member(value, "quoting", str, where) if "quoting" in value else None
    if quoting is not None and quoting not in QUOTINGS:
        raise UsageError(f"{where}.quoting: found {quote(quoting)}, expected {' or '.join(QUOTINGS)}")
    return ObjectJob(
        input=value["input"],
        output=value["output"],
        fields=member(value, "fields", str, where) if "fields" in value else None,
        max_rejects=_read_bound(value["max_rejects"], f"{where}.max_rejects") if "max_rejects" in value else None,
        quoting=quoting,
        raw=member(value, "raw", bool, where) if "raw" in value else True,
        chunk=_read_chunk(value, f"{where}.chunk") if "chunk" in value else None,
    )


def _read_chunk(value: Mapping[str, Any], where: str) -> Descriptor:
    try:
        chunk = load(Descriptor, orjson.dumps(value["chunk"]), where)
    except (RecordError, TypeError) as error:  # TypeError: an integer beyond 64 bits, or text that is not UTF-8
        raise UsageError(f"{' '.join(str(error).split())[:300]}; expected a line of: pairlift plan INPUT") from None
    if len(chunk.spans) != 1:
        raise UsageError(f"{where}: has {len(chunk.spans)} spans, expected a line of: pairlift plan {value['input']}")
    span, place = chunk.spans[0], chunk.spans[0].place
    numbers = (
        place.row, place.line or 0, place.start or 0, place.member, place.skip, span.end or 0, span.rows - 1, chunk.row, chunk.lot,
    )  # fmt: skip
    if span.input != value["input"] or not span.stamp.etag or min(numbers) < 0:
        raise UsageError(
            f"{where}: found a chunk of {quote(span.input)} with {span.rows} rows from {place.row}, expected a line "
            f"of: pairlift plan {value['input']}"
        )
    return chunk


def check_url(url: str, where: str) -> str:
    """Return the URL if it names an S3 object: an event may not make the function read or write anything else.

    Raises:
        UsageError: It does not name an S3 object.
    """
    try:
        key = url.partition("://")[2].partition("/")[2].encode()
    except UnicodeEncodeError:
        raise UsageError(f"{where}: found {quote(url)}, which cannot be encoded in UTF-8") from None
    if not URL.fullmatch(url) or len(key) > MOST_KEY_BYTES:
        raise UsageError(
            f"{where}: found {quote(url)}, expected s3://bucket/key with a key of at most {MOST_KEY_BYTES} bytes"
        )
    return url


def _read_bound(value: object, where: str) -> str:
    text = str(value) if type(value) is int and abs(value) < 10**12 else value
    if not isinstance(text, str) or not BOUND.fullmatch(text):
        raise UsageError(f"{where}: found {quote(value)}, expected a number of rows, or a share of them such as '2.5%'")
    parse_most_rejects(text)
    return text


def run_job(scorer: Scorer, job: ObjectJob, settings: Settings, deadline: Deadline) -> Outcome:
    """Run a job until it is finished or time is short; options that it does not give come from the settings.

    Raises:
        Unfinished: Time was short before the job was finished.
        PairliftError: As `score_file`.
    """
    if job.chunk is not None:
        return _run_chunk(scorer, job, job.chunk, settings)
    from pairlift.jobs.job import score_file

    most = job.max_rejects if job.max_rejects is not None else settings.max_rejects
    return score_file(
        scorer,
        job.input,
        job.output,
        dataclasses.replace(
            _options_of(job, settings), most_rejects=None if most is None else parse_most_rejects(most)
        ),
        progress=deadline.note,
        may_go_on=deadline.may_go_on,
    )


def _options_of(job: ObjectJob, settings: Settings) -> JobOptions:
    fields = job.fields if job.fields is not None else settings.fields
    return JobOptions(fields=fields, quoting=job.quoting, raw=job.raw)


def _run_chunk(scorer: Scorer, job: ObjectJob, chunk: Descriptor, settings: Settings) -> Outcome:
    """Score one chunk; the outcome counts as finished only if the whole output is."""
    from pairlift.jobs.terms import measure_run
    from pairlift.jobs.worker import run_descriptor
    from pairlift.outputs.outcome import Outcome

    started = time.monotonic()
    receipts = run_descriptor(scorer, chunk, job.output, _options_of(job, settings))
    totals = sum((receipt.tally for receipt in receipts), Tally())
    return Outcome(totals=totals, last_run=measure_run(scorer.threads, 0, totals.rows, started), finished=not receipts)


def describe_job(job: ObjectJob, outcome: Outcome) -> dict[str, Any]:
    """Return the answer to a job: how many rows were scored and rejected."""
    return {
        "input": job.input,
        "output": job.output,
        "rows": outcome.totals.rows,
        "scored": outcome.totals.scored,
        "rejected": dict(outcome.totals.rejected),
        "finished": outcome.finished,
    }
