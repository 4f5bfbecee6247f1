"""The verb `show`: prints or plots served bars of a symbol. Writes no bar."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.charts import plot_bars
from truetape.cli.options import (
    INSTANT,
    SYMBOL,
    VENUE,
    Whole,
    format_option,
    plot_option,
    timeframe_option,
)
from truetape.host.errors import TruetapeError
from truetape.host.private_home import current_settings
from truetape.host.timeframes import require_timeframe
from truetape.market.timeframe import Fill

if TYPE_CHECKING:
    from truetape.history.timeframe_bars import BarReader
    from truetape.serving.store import BarStore, ServedBar

DEFAULT_LAST = 20
DEFAULT_PLOTTED = 390
LAST_NS = 2**63 - 1
MAX_SHOWN = 500_000
"""Most bars of one `show`: all are in memory at once."""


@click.command()
@click.argument("symbol", type=SYMBOL)
@timeframe_option
@click.option("--from", "start_ns", type=INSTANT, help="First instant, like 2026-11-20T14:30:00Z.")
@click.option("--to", "end_ns", type=INSTANT, help="Instant after the last.")
@click.option(
    "--as-of", "as_of_ns", type=INSTANT, help="As known at TIME: from trades received by then."
)
@click.option("--venue", type=VENUE, help="Only this venue, like XNYS [every venue of the symbol].")
@click.option(
    "--last",
    type=Whole(1, MAX_SHOWN),
    help=f"Only the last N of each venue [all with --from, else {DEFAULT_LAST}].",
)
@format_option("table", "csv", "jsonl", text="For people, spreadsheets or programs.")
@plot_option("", "Draw a chart instead, into FILE or SYMBOL-RESOLUTION.html; opens on a desktop.")
def show(  # noqa: PLR0917 - one parameter an option
    symbol: str,
    resolution: str,
    origin: str,
    fill: str,
    start_ns: int | None,
    end_ns: int | None,
    as_of_ns: int | None,
    venue: str | None,
    last: int | None,
    style: str,
    plot: str | None,
) -> None:
    """Print or plot the served bars of SYMBOL: the most recent ones, or those since --from.

    Each bar is marked provisional (from the speed layer) or final, with the publication (rev) that
    wrote it. A void bar lost all its trades to cancels. With --as-of the bars are folded from the
    archived trades received by TIME, and are final if they were published by TIME. Writes nothing
    but the --plot file. Exit code 1: there are no such bars; the message lists the bars there are.

    Bars of 1s, 1m, 5m, 1h and 1d are served; all others are rolled up from these, with the highest
    rev of their parts, and final if all parts are (1w and 1M: if all their sessions were
    published). Their VWAP weighs those of the parts by volume; `truetape export --exact` computes
    it from the trades. --fill previous adds bars of layer `fill`, with no volume, between two bars,
    and up to the close.

    \b
      truetape show IBM
      truetape show IBM --resolution 30m --origin open
      truetape show IBM --resolution 1d --from 2013-10-01T00:00:00Z --format csv
      truetape show BTC/USD --venue KRAKEN --plot btc.html
      truetape show IBM --from 2026-11-20T14:30:00Z --as-of 2026-11-20T15:00:00Z
    """
    from truetape.history.no_bars import why_no_bars
    from truetape.history.timeframe_bars import BarReader
    from truetape.serving.backends import open_store
    from truetape.serving.table import utc

    settings = current_settings()
    timeframe = require_timeframe(resolution, origin)
    reader = BarReader(settings, timeframe, Fill(fill), as_of_ns or 0)
    count = last or (DEFAULT_LAST if plot is None else DEFAULT_PLOTTED)
    with closing(open_store(settings)) as store:
        if as_of_ns is not None:
            bars = _as_of(store, reader, symbol, venue, (start_ns, end_ns))
            bars = bars if last is None and start_ns is not None else bars[-count:]
        elif start_ns is None:
            bars = reader.tail(store, symbol, count, venue=venue, end_ns=end_ns)
        else:
            bars = _window(store, reader, symbol, venue, (start_ns, end_ns), last=last)
        if not bars:
            window = None if start_ns is None else (start_ns, end_ns)
            raise TruetapeError(why_no_bars(store, reader, symbol, venue, window))
    known_at = "" if as_of_ns is None else f" as known at {utc(as_of_ns)}"
    if plot is None:
        _print(bars, style, f"{symbol} {resolution}{known_at}, times in UTC")
    else:
        plot_bars(bars, symbol, f"{resolution}{known_at}", plot)


def _window(
    store: "BarStore",
    reader: "BarReader",
    symbol: str,
    venue: str | None,
    window: tuple[int, int | None],
    *,
    last: int | None,
) -> "list[ServedBar]":
    """Read a window of at most `MAX_SHOWN` bars; with `last`, only the last ones of each venue."""
    start, end = window
    bars: list[ServedBar] = []
    stop = LAST_NS if end is None else end
    for bar in reader.read(store, start, stop, venue=venue, symbols=[symbol]):
        if len(bars) == MAX_SHOWN:
            raise TruetapeError(
                f"more than {MAX_SHOWN:,} bars of {symbol} are in this window; "
                "narrow --from and --to"
            )
        bars.append(bar)
    if last is None:
        return bars
    venues = sorted({bar.venue for bar in bars})
    return [bar for code in venues for bar in [row for row in bars if row.venue == code][-last:]]


def _as_of(
    store: "BarStore",
    reader: "BarReader",
    symbol: str,
    venue: str | None,
    window: tuple[int | None, int | None],
) -> "list[ServedBar]":
    """Fold the trades known at an instant: of a window, or of the last session that has bars."""
    from truetape.history.as_of import venue_of
    from truetape.history.known_bars import newest_known
    from truetape.host.venues import venue_named

    market = venue_named(venue) if venue else venue_of(store, symbol)
    end = LAST_NS if window[1] is None else window[1]
    if window[0] is not None:
        return list(reader.as_known(market, symbol, window[0], min(end, reader.known_ns + 1)))
    return newest_known(reader, market, symbol, end)


def _print(bars: "Sequence[ServedBar]", style: str, title: str) -> None:
    from truetape.serving.table import csv_lines, json_lines, table

    if style == "table":
        output.console().print(table(bars, title))
        return
    for line in csv_lines(bars) if style == "csv" else json_lines(bars):
        click.echo(line)
