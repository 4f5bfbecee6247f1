"""How verbs print: tables for terminals and pipes, progress on stderr. Parses nothing."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.host.dates import shown
from truetape.host.errors import ConfigError

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


def require_writable(path: Path) -> None:
    """Raise ConfigError if a file cannot be created or replaced: better before an hour of work."""
    try:
        is_new = not path.exists()
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {shown(str(path))}: {error}") from error


def echo_rest(count: int, shown: int) -> None:
    """Print how many lines `--limit` cut off, if any."""
    if count > shown:
        click.echo(f"and {count - shown:,} more; --limit shows them")
