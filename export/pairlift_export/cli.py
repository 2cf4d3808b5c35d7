"""The export stage's command."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", metavar="RUN|MODEL.keras", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--pairs", help="A file of pairs for the proof, labelled or not.  [default: what the run held out]")
@click.option("--labels", help="Label names in the order of the head's outputs; needed for a .keras file.")
@click.option("--fields", help="The two fields in the order of the segments; needed for a .keras file.")
@click.option(
    "--graph",
    type=click.Choice(["auto", "tf2onnx"]),
    default="auto",
    show_default=True,
    help="How the ONNX graph is made.",
)
@click.option("--force", is_flag=True, help="Replace BUNDLE if it is a bundle.")
def export(
    model: Path, bundle: Path, pairs: str | None, labels: str | None, fields: str | None, graph: str, force: bool
) -> None:
    """Export a run or a .keras file to BUNDLE: SavedModel, ONNX, tokenizer, and the proof that they agree.

    Example: pairlift export out/run out/bundle
    """
    from pairlift_export.export import Request, run_export

    run_export(Request(model=model, bundle=bundle, pairs=pairs, labels=labels, fields=fields, graph=graph, force=force))


COMMANDS = (export,)
