"""The command `score`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pairlift.commands import options
from pairlift.commands.exit_codes import EXIT_CODES

if TYPE_CHECKING:
    from pairlift.jobs.job import Engine

EPILOG = """\b
Files beside OUTPUT:
  OUTPUT.manifest.json  what the job was, and what became of every row
  OUTPUT.rejects.jsonl  the rejected rows, if there are any
  OUTPUT.job/           what is done, until the job is finished
With a slash at its end, OUTPUT holds parts, and these three are
manifest.json, rejects-*.jsonl and job/ in OUTPUT/_pairlift/.

\b
Exit codes:
""" + "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())


@click.command(epilog=EPILOG)
@click.argument("bundle")
@click.argument("source", metavar="INPUT")
@click.argument("output")
@options.variant
@options.fields
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="How many batches are computed at once.  [default: what CPU affinity and quota allow]",
)
@options.restart
@options.force("OUTPUT, if pairlift has made it")
@click.option(
    "--max-rejects",
    metavar="N|P%",
    help="The most rows, or share of rows, that may be rejected.  [default: any number]",
)
@click.option("--accept-rejects", is_flag=True, help="Exit with 0 although rows were rejected, within --max-rejects.")
@click.option("--no-raw", is_flag=True, help="Keep the rejected records themselves out of OUTPUT.rejects.jsonl.")
@options.quoting
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What computes: this process, or Ray.",
)
@click.option(
    "--task",
    metavar="I/N",
    help="Share the job with N processes that run this same command, as the I-th of them.  [default: what the scheduler says]",
)
@options.chunk_rows
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="The number of Ray workers.  [default: as many as there are processors for]",
)
@click.option(
    "--chunk-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="The longest time that a chunk may take on Ray.",
)
@options.quiet("progress and no summary")
def score(
    bundle: str,
    source: str,
    output: str,
    variant: str,
    fields: str | None,
    threads: int | None,
    restart: bool,
    force: bool,
    max_rejects: str | None,
    accept_rejects: bool,
    no_raw: bool,
    quoting: str | None,
    engine: str,
    task: str | None,
    chunk_rows: int,
    workers: int | None,
    chunk_seconds: float,
    quiet: bool,
) -> int:
    """Score the pairs of INPUT into OUTPUT.

    INPUT and OUTPUT are .csv, .tsv or .jsonl, each also .gz or .zst, or .parquet; - is standard input or output. Each may be
    s3://bucket/key, BUNDLE too. INPUT with a slash at its end is all files of a directory or prefix, and one with * or ? (in quotes)
    those that match: one job, in order of name. OUTPUT with a slash at its end is a directory or prefix of parts.

    A job that was stopped or killed continues when the same command is run again. Any number of processes may share a
    job (--task). Ray is found by RAY_ADDRESS; without it, one is started here.

    Example: pairlift score out/bundle pairs.csv scores.csv
    """
    from pairlift.console import say
    from pairlift.formats.fields import map_fields
    from pairlift.inputs.names import check_apart, find_inputs
    from pairlift.inputs.options import JobOptions
    from pairlift.inputs.rejects import parse_most_rejects
    from pairlift.jobs.job import score_file
    from pairlift.jobs.progress import make_progress
    from pairlift.model.scorer import Scorer
    from pairlift.outputs.outcome import describe

    most = parse_most_rejects(max_rejects) if max_rejects is not None else None
    if engine == "ray":
        run = _use_ray(source, output, task, threads, workers, chunk_seconds)
    else:
        run = _use_processes(task, workers)
    names = find_inputs(source)
    check_apart(source, output)
    scorer = Scorer.open(bundle, variant, threads)
    if len(names) > 1 and not quiet:
        say(f"{len(names)} inputs, {names[0]} to {names[-1]}")
    if fields and "=" not in fields:
        pairs = map_fields(fields, scorer.bundle.manifest.fields)
        say("fields: " + ", ".join(f"{field} from {column}" for field, column in pairs.items()))
    progress = None if quiet else make_progress()
    try:
        asked = JobOptions(fields=fields, quoting=quoting, raw=not no_raw, most_rejects=most, chunk_rows=chunk_rows)
        outcome = score_file(scorer, names, output, asked, restart=restart, force=force, progress=progress, engine=run)
    finally:
        if progress:
            progress.close()
        scorer.close()
    if not quiet:
        say(describe(outcome, output))
    return 1 if outcome.totals.rejected and not accept_rejects else 0


def _use_ray(
    source: str, output: str, task: str | None, threads: int | None, workers: int | None, seconds: float
) -> Engine:
    from pairlift.errors import UsageError
    from pairlift.ray.engine import Cluster, check_ends

    check_ends(source, output)
    if task:
        raise UsageError("--task only applies to the local engine; Ray shares a job by itself")
    return Cluster(threads=threads or 1, workers=workers, seconds=seconds).run


def _use_processes(task: str | None, workers: int | None) -> Engine:
    """Return the engine that works in this process, on the whole job or on its share."""
    import os

    from pairlift.errors import UsageError
    from pairlift.jobs.local import run_here
    from pairlift.jobs.sharing import find_share, parse_share

    if workers:
        raise UsageError("--workers only applies to --engine ray; use --threads with the local engine")
    share = parse_share(task) if task else find_share(os.environ)
    return share.run if share is not None else run_here
