"""The command `pairlift`: the commands of the three stages under one name."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pairlift.signals import end_on_signals

if TYPE_CHECKING:
    from pairlift.commands.sections import Sections

os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def make_cli() -> Sections:
    """Return the command line."""
    import click
    from pairlift_export.cli import export
    from pairlift_training.cli import evaluate, train

    from pairlift.commands.inspect import inspect
    from pairlift.commands.lambda_ import lambda_group
    from pairlift.commands.plan import plan
    from pairlift.commands.score import score
    from pairlift.commands.sections import Sections
    from pairlift.commands.verify import verify
    from pairlift.version import __version__

    sections = {
        "Make": (train, export, evaluate),
        "Check": (verify, inspect),
        "Score": (score, plan),
        "Deploy": (lambda_group,),
    }

    @click.group(cls=Sections, sections=sections, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="pairlift")
    def cli() -> None:
        """Lift a KerasHub sentence-pair classifier out of Keras: train it, export it with a proof, score anywhere."""

    return cli


def main() -> None:
    """Run the command line and exit with its code."""
    end_on_signals()  # before anything is imported that a signal could break off in the middle
    from pairlift.console import fill_streams, run_command

    fill_streams()
    sys.exit(run_command(lambda: make_cli().main(standalone_mode=False)))


if __name__ == "__main__":
    main()
