"""What the docs take from the code: `make docs` writes it into them, and `make lint` sees that it is up to date."""

from __future__ import annotations

from collections.abc import Iterator

import click
from pairlift.__main__ import make_cli
from pairlift.commands.exit_codes import EXIT_CODES

WIDTH = 100


def exit_codes() -> str:
    """Return a table of the exit codes."""
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return f"| code | meaning |\n|---|---|\n{rows}\n"


def commands() -> str:
    """Return the help of each command, under a heading of its own."""
    return "\n".join(
        f"## {name}\n\n```\n{text}\n```\n"
        for name, text in _find_help(make_cli(), click.Context(make_cli(), info_name="pairlift"))
    )


def _find_help(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    context.terminal_width = context.max_content_width = WIDTH
    lines = command.get_help(context).splitlines()
    yield context.command_path, "\n".join(line.rstrip() for line in lines)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _find_help(inner, click.Context(inner, parent=context, info_name=name))
