"""The console: errors become one line and an exit code here, and nowhere else."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable

import click

from pairlift.errors import INTERNAL, SIGNALLED, PairliftError, Stopped, missing_extra

EXTRAS = {"train": "training", "export": "export", "evaluate": "training"}


def run_command(command: Callable[[], object]) -> int:
    """Run a command and return its exit code; errors go to stderr, one line each, a bug with its traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        result = command()
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except PairliftError as error:
        return report(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped by SIGINT; nothing was left half-written", err=True)
        return SIGNALLED + signal.SIGINT
    except Stopped as error:
        click.echo(str(error), err=True)
        return SIGNALLED + error.number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGNALLED + signal.SIGPIPE
    except ModuleNotFoundError as error:
        command_name = sys.argv[1] if len(sys.argv) > 1 else ""
        if command_name in EXTRAS and (error.name or "").split(".")[0] not in (
            "pairlift",
            "pairlift_export",
            "pairlift_training",
        ):
            return report(missing_extra(command_name, EXTRAS[command_name]))
        traceback.print_exc()
        return INTERNAL
    except Exception:
        traceback.print_exc()
        click.echo("internal error: this is a bug in pairlift; please report the lines above", err=True)
        return INTERNAL
    return result if isinstance(result, int) else 0


def report(error: PairliftError) -> int:
    """Print an error's line and return its exit code."""
    click.echo("error: " + " ".join(str(error).split()), err=True)
    return error.exit_code
