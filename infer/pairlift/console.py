"""The console: the only place where an error becomes a line and an exit code."""

from __future__ import annotations

import contextlib
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
    """Run a command, and return its exit code. An error is printed as one line on stderr, a bug with its traceback."""
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
        say("stopped by SIGINT; nothing was left half-written")
        return SIGNALLED + signal.SIGINT
    except Stopped as error:
        if error.number == signal.SIGPIPE:  # the reader has closed the pipe, which is no error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            say(str(error))
        return SIGNALLED + error.number
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
    say("error: " + " ".join(str(error).split()))
    return error.exit_code


def say(text: str) -> None:
    """Print to standard error. A failure to print is ignored, so that it does not spoil the command."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def fill_streams() -> None:
    """Replace closed standard streams, so that no file that is opened later gets their descriptors.

    A write to a closed standard output is an error. Output to a closed standard error is lost.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
