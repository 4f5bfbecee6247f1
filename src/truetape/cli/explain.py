"""The verb `explain`: the lineage of one bar."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from truetape.cli.batch import INSTANT, RESOLUTION
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from truetape.history.lineage import Line, Lineage

DEFAULT_LINES = 100
WIDE = 220
"""Columns of a table that goes into a file or a pipe."""


@click.command()
@click.argument("symbol")
@click.argument("start_ns", type=INSTANT, metavar="START")
@click.option(
    "--resolution",
    type=RESOLUTION,
    default="1m",
    show_default=True,
    help="Width of the bar.",
)
@click.option("--venue", help="Market of the bar [the one that serves the symbol].")
@click.option("--limit", default=DEFAULT_LINES, show_default=True, help="Most lines of a table.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For eyes, or one JSON object with every trade.",
)
def explain(  # noqa: PLR0917 - one parameter an option
    symbol: str, start_ns: int, resolution: str, venue: str | None, limit: int, style: str
) -> None:
    """Explain the bar of SYMBOL that holds START: which trades made it, and why it changed.

    Prints the bar as served and as its archived trades give it, each publication with what it
    changed and the cause, the trades with what each may set, what was left out and why, and the
    Kafka coordinates of each. Exit code 65 when a final bar is not what its trades give.

    \b
      truetape explain IBM 2026-11-20T14:31:00Z
      truetape explain IBM 2026-11-20T14:30:00Z --resolution 1d --format json
    """
    from truetape.history.explain import explain_bar
    from truetape.history.explain_text import as_json, head, is_same

    found = explain_bar(Settings.from_env(), symbol, start_ns, Resolution(resolution), venue)
    if style == "json":
        click.echo(as_json(found))
    else:
        for line in head(found):
            click.echo(line)
        _tables(found, limit)
    if found.served is not None and found.served.final and not is_same(found.served, found.folded):
        raise VerificationError(
            f"the final bar is not what its {len(found.counted):,} trades give; "
            "recompute and publish the session"
        )


def _tables(found: "Lineage", limit: int) -> None:
    counted, left_out = found.counted, found.left_out
    total = len(counted) + len(left_out)
    _table(counted, f"trades: {len(counted):,} of {total:,} deliveries count", limit)
    if left_out:
        _table(left_out, f"left out: {len(left_out):,}", limit)


def _table(lines: "Sequence[Line]", title: str, limit: int) -> None:
    from rich.console import Console

    from truetape.history.explain_text import table

    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    console.print(table(lines[:limit], title))
    if len(lines) > limit:
        click.echo(f"and {len(lines) - limit:,} more; --limit shows them")
