"""A group of commands that its help lists in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Sections(click.Group):
    """A group that lists its commands under headings; long summaries are wrapped, never truncated."""

    def __init__(self, *, sections: Mapping[str, Sequence[click.Command]], **options: Any) -> None:
        """Make a group.

        Args:
            sections: The commands under each heading, in the order they are listed.
            options: The options of `click.Group`.
        """
        super().__init__(commands=[command for each in sections.values() for command in each], **options)
        self._sections = sections

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections, with the summaries of all of them in one column."""
        width = max(map(len, self.commands))
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{command.name:<{width}}", command.get_short_help_str(1000)) for command in commands]
                )
