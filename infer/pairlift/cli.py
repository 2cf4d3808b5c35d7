"""The runner's commands."""

from __future__ import annotations

import click

VARIANTS = click.Choice(["fp32", "int8"])
CHUNK_ROWS = click.IntRange(1, 1 << 16)


@click.command()
@click.argument("bundle")
@click.argument("source", metavar="INPUT")
@click.argument("output")
@click.option("--variant", type=VARIANTS, default="fp32", show_default=True, help="Which graph of the bundle.")
@click.option(
    "--fields", help="Columns of the two texts: hypothesis=sentence2,premise=sentence1, or two in model order."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Batches computed at once; by default what CPU affinity and quota allow.",
)
@click.option("--restart", is_flag=True, help="Begin an unfinished job again, whatever an earlier run had done.")
@click.option("--force", is_flag=True, help="Replace OUTPUT, if pairlift has made it.")
@click.option("--max-rejects", metavar="N|P%", help="Most rows that may be rejected.  [default: any number]")
@click.option("--accept-rejects", is_flag=True, help="Exit with 0 although rows were rejected, within --max-rejects.")
@click.option("--no-raw", is_flag=True, help="Keep rejected records out of OUTPUT.rejects.jsonl.")
@click.option(
    "--quoting",
    type=click.Choice(["minimal", "none"]),
    help="Quoting of CSV and TSV, for input and output.  [default: minimal for CSV, none for TSV]",
)
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
@click.option(
    "--chunk-rows",
    type=CHUNK_ROWS,
    default=4096,
    show_default=True,
    help="How many rows are done and saved at a time. More: fewer parts, more memory, more to do again after a kill.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of Ray workers.  [default: as many as there are processors for]",
)
@click.option(
    "--chunk-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="How long a chunk may take on Ray.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
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
    """Score the pairs of INPUT (.csv, .tsv or .jsonl, also .gz and .zst; .parquet; or -) into OUTPUT.

    Each may be s3://bucket/key, BUNDLE too. INPUT with a slash at its end is all files of a directory or prefix, and one with * or ?
    (in quotes) those that match: one job, in order of name. OUTPUT with a slash at its end is a directory or prefix of parts. A job that was
    stopped or killed goes on when the same command is run again. Any number of processes may share a job (--task). Ray is found by
    RAY_ADDRESS; without it, one is started here.

    Example: pairlift score out/bundle pairs.csv scores.csv
    """
    import os

    from pairlift.console import say
    from pairlift.errors import UsageError
    from pairlift.fields import map_fields
    from pairlift.inputs import check_apart, find_inputs
    from pairlift.job import Engine, score_file
    from pairlift.local_engine import run_here
    from pairlift.options import JobOptions
    from pairlift.outcome import describe
    from pairlift.progress import make_progress
    from pairlift.rejects import parse_most_rejects
    from pairlift.scorer import Scorer
    from pairlift.sharing import find_share, parse_share

    most = parse_most_rejects(max_rejects) if max_rejects is not None else None
    run: Engine = run_here
    if engine == "ray":
        from pairlift.ray_engine import Cluster, check_ends

        check_ends(source, output)
        run = Cluster(threads=threads or 1, workers=workers, seconds=chunk_seconds).run
    elif workers:
        raise UsageError("--workers only applies to --engine ray; use --threads with the local engine")
    share = parse_share(task) if task else find_share(os.environ)
    if share is not None and engine == "local":
        run = share.run
    elif task:
        raise UsageError("--task only applies to the local engine; Ray shares a job by itself")
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
        options = JobOptions(fields=fields, quoting=quoting, raw=not no_raw, most_rejects=most, chunk_rows=chunk_rows)
        outcome = score_file(
            scorer, names, output, options, restart=restart, force=force, progress=progress, engine=run
        )
    finally:
        if progress:
            progress.close()
        scorer.close()
    if not quiet:
        say(describe(outcome, output))
    return 1 if outcome.totals.rejected and not accept_rejects else 0


@click.command()
@click.argument("source", metavar="INPUT")
@click.option("--quoting", type=click.Choice(["minimal", "none"]), help="Of CSV and TSV.")
@click.option("--chunk-rows", type=CHUNK_ROWS, default=4096, show_default=True, help="Rows of a chunk.")
def plan(source: str, quoting: str | None, chunk_rows: int) -> None:
    """Print the chunks of INPUT, or of several as for `score`, as JSON lines: where each begins, and how many rows it has.

    Example: pairlift plan s3://bucket/pairs.jsonl
    """
    import dataclasses

    import orjson

    from pairlift.console import say
    from pairlift.inputs import find_inputs, shown_name
    from pairlift.plan import Descriptor, explain_plan, plan_files

    lasts = dict[str, Descriptor]()
    for descriptor in plan_files(find_inputs(source), quoting, chunk_rows):
        spans = tuple(dataclasses.replace(span, input=shown_name(span.input, "")) for span in descriptor.spans)
        click.echo(orjson.dumps(dataclasses.replace(descriptor, spans=spans)).decode())
        lasts[descriptor.spans[-1].input] = descriptor
    advice = explain_plan(list(lasts.values()))
    if advice:
        say(advice)


@click.command()
@click.argument("bundle")
@click.option("--all", "everything", is_flag=True, help="Hash every file first, the SavedModel too.")
def verify(bundle: str, everything: bool) -> None:
    """Replay the golden pairs of BUNDLE here, without Keras.

    Example: pairlift verify out/bundle
    """
    from pairlift.bundle import Bundle
    from pairlift.golden import replay
    from pairlift.scorer import Scorer

    opened = Bundle.open(bundle)
    if everything:
        click.echo(f"{opened.verify_files()} files are as they were exported")
    for name in sorted(opened.manifest.variants):
        if not opened.has(name):
            click.echo(f"{name}: not in this copy of the bundle")
            continue
        scorer = Scorer(opened, name)
        result = replay(scorer)
        scorer.close()
        click.echo(
            f"{name}: {result.pairs} golden pairs agree, largest difference {result.max_difference:.1e} (at most {result.tolerance:.1e})"
        )


@click.command()
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="The whole manifest.")
def inspect(bundle: str, as_json: bool) -> None:
    """Say what BUNDLE is, in ten lines.

    Example: pairlift inspect out/bundle
    """
    from pairlift import record
    from pairlift.bundle import Bundle

    opened = Bundle.open(bundle)
    manifest = opened.manifest
    if as_json:
        click.echo(record.dump(manifest), nl=False)
        return
    packing = manifest.packing
    click.echo(f"bundle    {opened.path} (digest {opened.digest[:12]})")
    click.echo(f"model     {manifest.architecture}, from {manifest.source.name} ({manifest.source.dtype_policy})")
    click.echo(f"labels    {', '.join(manifest.labels)}")
    click.echo(f"fields    {', '.join(manifest.fields)} (first segment, second segment)")
    click.echo(f"length    {packing.sequence_length} tokens, truncation {packing.truncation}")
    click.echo(
        f"inputs    {', '.join(f'{i.name} {i.dtype}' for i in manifest.inputs)}; output {manifest.output}, {manifest.activation}"
        + (f" of logits by {manifest.temperature:.4g}" if manifest.temperature != 1 else "")
    )
    for name, variant in sorted(manifest.variants.items()):
        size = sum(f.size for f in manifest.groups[name])
        here = "" if opened.has(name) else ", not in this copy"
        click.echo(
            f"{name:<9} {variant.file}, {size / 1e6:.1f} MB, within {variant.max_probability_difference:.1e} of Keras "
            f"over {variant.pairs} pairs{here}"
        )
    groups = ", ".join(f"{name} {len(files)}" for name, files in sorted(manifest.groups.items()))
    click.echo(f"files     {groups}")
    click.echo(
        f"versions  {', '.join(f'{k} {v}' for k, v in sorted(manifest.versions.items()) if k in SHOWN_VERSIONS)}"
    )


SHOWN_VERSIONS = ("pairlift", "keras", "keras-hub", "onnxruntime", "tokenizers")


COMMANDS = (score, plan, verify, inspect)
