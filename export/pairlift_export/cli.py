"""The export stage's command."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("model", metavar="RUN|MODEL.keras", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--pairs", help="A file of pairs for the proof, labelled or not.  [default: what the run held out]")
@click.option("--label", help="Column of the label in --pairs.  [default: label, or SNLI's gold_label]")
@click.option("--labels", help="Label names in the order of the head's outputs; needed for a .keras file.")
@click.option("--fields", help="The two fields in the order of the segments; needed for a .keras file.")
@click.option(
    "--graph",
    type=click.Choice(["auto", "tf2onnx"]),
    default="auto",
    show_default=True,
    help="How the ONNX graph is made.",
)
@click.option(
    "--int8/--no-int8", "int8", default=None, help="Whether to make the int8 variant.  [default: when its gate holds]"
)
@click.option("--max-flips", type=click.FloatRange(0, 1), help="Share of labels that int8 may flip.  [default: 0.03]")
@click.option("--max-drop", type=click.FloatRange(0, 1), help="Accuracy that int8 may lose.  [default: 0.01]")
@click.option("--force", is_flag=True, help="Replace BUNDLE if it is a bundle.")
def export(
    model: Path,
    bundle: Path,
    pairs: str | None,
    label: str | None,
    labels: str | None,
    fields: str | None,
    graph: str,
    int8: bool | None,
    max_flips: float | None,
    max_drop: float | None,
    force: bool,
) -> None:
    """Export a run or a .keras file to BUNDLE: SavedModel, ONNX, tokenizer, and the proof that they agree.

    Example: pairlift export out/run out/bundle
    """
    from pairlift.staging import storage_errors
    from pairlift_export.export import Request, run_export

    said = run_export(
        Request(
            model=model, bundle=bundle, pairs=pairs, label=label, labels=labels, fields=fields, graph=graph,
            int8=int8, max_flips=max_flips, max_drop=max_drop, force=force,
        )
    )  # fmt: skip
    with storage_errors("standard output"):
        sys.stdout.write(said + "\n")
        sys.stdout.flush()


COMMANDS = (export,)
