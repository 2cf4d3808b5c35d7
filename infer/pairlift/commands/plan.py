"""The command `plan`."""

from __future__ import annotations

import click

from pairlift.commands import options


@click.command()
@click.argument("source", metavar="INPUT")
@options.quoting
@options.chunk_rows
def plan(source: str, quoting: str | None, chunk_rows: int) -> None:
    """Print the chunks that `score` cuts INPUT into, as JSON lines.

    INPUT may be several inputs, as for `score`. A line says where its chunk begins, and how many rows it has.

    Example: pairlift plan s3://bucket/pairs.jsonl
    """
    import dataclasses

    import orjson

    from pairlift.console import say
    from pairlift.inputs.names import find_inputs, shown_name
    from pairlift.inputs.plan import Descriptor, explain_plan, plan_files

    lasts = dict[str, Descriptor]()
    for descriptor in plan_files(find_inputs(source), quoting, chunk_rows):
        spans = tuple(dataclasses.replace(span, input=shown_name(span.input, "")) for span in descriptor.spans)
        click.echo(orjson.dumps(dataclasses.replace(descriptor, spans=spans)).decode())
        lasts[descriptor.spans[-1].input] = descriptor
    advice = explain_plan(list(lasts.values()))
    if advice:
        say(advice)
