"""The export stage's command: `export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from pairlift.commands import options


@click.command()
@click.argument("model", metavar="RUN|MODEL.keras", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--pairs", help="A file of pairs for the proof, labelled or not.  [default: those that RUN held out]")
@options.label
@click.option(
    "--labels", metavar="NAMES", help="The labels in the order of the head's outputs; needed for a .keras file."
)
@click.option(
    "--fields", metavar="NAMES", help="The two fields in the order of the segments; needed for a .keras file."
)
@click.option(
    "--graph",
    type=click.Choice(["auto", "tf2onnx"]),
    default="auto",
    show_default=True,
    help="How the ONNX graph is made: from the weights, or by the general converter.",
)
@click.option(
    "--int8/--no-int8", "int8", default=None, help="Whether BUNDLE gets an int8 variant.  [default: if its gate holds]"
)
@click.option(
    "--max-flips", type=click.FloatRange(0, 1), help="The largest share of labels that int8 may flip.  [default: 0.03]"
)
@click.option("--max-drop", type=click.FloatRange(0, 1), help="The most accuracy that int8 may lose.  [default: 0.01]")
@options.force("BUNDLE, if it is a bundle")
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
    """Export a run or a .keras file to BUNDLE, with a proof.

    BUNDLE gets a SavedModel, ONNX graphs and the tokenizer, and the proof that all of them agree with Keras.

    Example: pairlift export out/run out/bundle
    """
    from pairlift.storage.staging import storage_errors
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
