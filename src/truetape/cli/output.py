"""How verbs print: tables for terminals and pipes, progress on stderr. Parses nothing."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


def console(width: int = WIDE) -> "Console":
    """Return a console as wide as the terminal, or `width` columns in a file or a pipe."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=width)


def show_progress(line: str) -> None:
    """Print a line of progress on stderr, on a terminal only."""
    if sys.stderr.isatty():
        click.echo(line, err=True)


def echo_rest(count: int, shown: int) -> None:
    """Print how many lines `--limit` cut off, if any."""
    if count > shown:
        click.echo(f"and {count - shown:,} more; --limit shows them")
