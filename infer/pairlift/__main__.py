"""The command `pairlift`: the commands of the three stages under one name."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pairlift.signals import end_on_signals

if TYPE_CHECKING:
    import click

os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def make_cli() -> click.Group:
    """Return the command line."""
    import click
    from pairlift_export.cli import COMMANDS as EXPORT
    from pairlift_training.cli import COMMANDS as TRAINING

    from pairlift.cli import COMMANDS as RUNNER
    from pairlift.deploy.cli import COMMANDS as DEPLOY
    from pairlift.version import __version__

    class InOrder(click.Group):
        """Lists the commands in the order a user meets them."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            """Return the names as they were added."""
            return list(self.commands)

    @click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="pairlift")
    def cli() -> None:
        """Lift a KerasHub sentence-pair classifier out of Keras: train it, export it with a proof, score anywhere."""

    for command in (*TRAINING, *EXPORT, *RUNNER, *DEPLOY):
        cli.add_command(command)
    return cli


def main() -> None:
    """Run the command line and exit with its code."""
    end_on_signals()  # before anything is imported that a signal could break off in the middle
    from pairlift.console import fill_streams, run_command

    fill_streams()
    sys.exit(run_command(lambda: make_cli().main(standalone_mode=False)))


if __name__ == "__main__":
    main()
