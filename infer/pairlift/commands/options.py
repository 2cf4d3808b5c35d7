"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from pairlift.choices import FP32, QUOTINGS, VARIANTS

Command = TypeVar("Command", bound=Callable[..., object])

variant = click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default=FP32,
    show_default=True,
    help="The graph of BUNDLE to use; int8 is smaller and faster.",
)
fields = click.option(
    "--fields",
    metavar="COLUMNS",
    help="The columns of the two texts: hypothesis=sentence2,premise=sentence1, or two names in model order.",
)
label = click.option(
    "--label", metavar="COLUMN", help="The column of the label.  [default: label, or SNLI's gold_label]"
)
quoting = click.option(
    "--quoting",
    type=click.Choice(QUOTINGS),
    help="Quoting of CSV and TSV, for input and output.  [default: minimal for CSV, none for TSV]",
)
chunk_rows = click.option(
    "--chunk-rows",
    type=click.IntRange(1, 1 << 16),
    default=4096,
    show_default=True,
    help="Rows of a chunk, which is done and saved as a whole. Larger chunks make fewer parts, take more memory, and cost more "
    "after a kill.",
)
backend = click.option(
    "--backend",
    type=click.Choice(["jax", "tensorflow", "torch"]),
    default="jax",
    show_default=True,
    help="The Keras backend that computes the model of RUN.",
)
restart = click.option(
    "--restart", is_flag=True, help="Begin again, and discard what an earlier, unfinished run has done."
)


def force(what: str) -> Callable[[Command], Command]:
    """Return the option `--force`.

    Args:
        what: What the option replaces.
    """
    return click.option("--force", is_flag=True, help=f"Replace {what}.")


def quiet(what: str) -> Callable[[Command], Command]:
    """Return the option `--quiet`.

    Args:
        what: What the option leaves out.
    """
    return click.option("--quiet", is_flag=True, help=f"Print no {what}.")
