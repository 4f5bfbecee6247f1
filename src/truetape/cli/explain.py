"""The verb `explain`: prints the lineage of one bar. Read only."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.options import (
    INSTANT,
    SYMBOL,
    VENUE,
    format_option,
    limit_option,
    resolution_option,
)
from truetape.host.errors import VerificationError
from truetape.host.private_home import current_settings
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from truetape.history.lineage import Lineage, TracedDelivery

DEFAULT_LINES = 100
WIDE = 220


@click.command()
@click.argument("symbol", type=SYMBOL)
@click.argument("start_ns", type=INSTANT, metavar="START")
@resolution_option("Width of the bar.")
@click.option("--venue", type=VENUE, help="Market of the bar [the one that serves the symbol].")
@limit_option(DEFAULT_LINES, "Most lines of a table.")
@format_option("text", "json", text="For people, or one JSON object with every trade.")
def explain(  # noqa: PLR0917 - one parameter an option
    symbol: str, start_ns: int, resolution: str, venue: str | None, limit: int, style: str
) -> None:
    """Explain the bar of SYMBOL that contains START: which trades made it, and why it changed.

    Prints the bar as served and as folded from its archived trades; each publication with its
    changes and their cause; the trades and the fields that each may set; the trades left out and
    why; and the Kafka coordinates of each. Writes nothing. Exit code 65: a final bar differs from
    its trades; recompute and publish the session.

    \b
      truetape explain IBM 2026-11-20T14:31:00Z
      truetape explain IBM 2026-11-20T14:30:00Z --resolution 1d --format json
    """
    from truetape.history.explain import explain_bar
    from truetape.history.explain_text import as_json, head, is_same
    from truetape.history.served_symbols import as_served
    from truetape.serving.backends import open_store

    settings = current_settings()
    with closing(open_store(settings)) as store:
        symbol = as_served(store, symbol)
    lineage = explain_bar(settings, symbol, start_ns, Resolution(resolution), venue)
    if style == "json":
        click.echo(as_json(lineage))
    else:
        for line in head(lineage):
            click.echo(line)
        _print_trades(lineage, limit)
    served = lineage.served
    if served is not None and served.final and not is_same(served, lineage.folded):
        raise VerificationError(
            f"the final bar differs from the fold of its {len(lineage.counted):,} trades; "
            "recompute and publish the session"
        )


def _print_trades(lineage: "Lineage", limit: int) -> None:
    counted, left_out = lineage.counted, lineage.left_out
    total = len(counted) + len(left_out)
    _print_table(counted, f"trades: {len(counted):,} of {total:,} deliveries count", limit)
    if left_out:
        _print_table(left_out, f"left out: {len(left_out):,}", limit)


def _print_table(lines: "Sequence[TracedDelivery]", title: str, limit: int) -> None:
    from truetape.history.explain_text import table

    output.console(WIDE).print(table(lines[:limit], title))
    output.echo_rest(len(lines), limit)
