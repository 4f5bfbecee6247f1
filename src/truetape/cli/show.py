"""The verb `show`: prints or plots served bars of a symbol. Writes no bar."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.charts import plot_bars
from truetape.cli.options import (
    EDGE,
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
    from truetape.history.period import Period
    from truetape.history.timeframe_bars import BarReader
    from truetape.serving.store import BarStore, ServedBar

DEFAULT_LAST = 20
DEFAULT_PLOTTED = 390
MAX_SHOWN = 500_000
"""Most bars of one `show`: all are in memory at once."""


@click.command()
@click.argument("symbol", type=SYMBOL)
@timeframe_option
@click.option("--from", "start", type=EDGE, help="First day, or instant: 2026-11-20T14:30:00Z.")
@click.option("--to", "end", type=EDGE, help="Day or instant after the last.")
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
    start: int | date | None,
    end: int | date | None,
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
      truetape show IBM --resolution 1d --from 2013-10-01 --format csv
      truetape show BTC/USD --venue KRAKEN --plot btc.html
      truetape show IBM --from 2026-11-20T14:30:00Z --as-of 2026-11-20T15:00:00Z
    """
    from truetape.history.no_bars import why_no_bars
    from truetape.history.period import Period, parse_period
    from truetape.history.served_symbols import as_served
    from truetape.history.timeframe_bars import BarReader
    from truetape.serving.backends import open_store
    from truetape.serving.table import utc

    settings = current_settings()
    timeframe = require_timeframe(resolution, origin)
    reader = BarReader(settings, timeframe, Fill(fill), as_of_ns or 0)
    count = last or (DEFAULT_LAST if plot is None else DEFAULT_PLOTTED)
    period = Period(0, end) if start is None else parse_period(start, end)
    with closing(open_store(settings)) as store:
        asked = _Asked(store, reader, as_served(store, symbol), venue)
        if as_of_ns is not None:
            bars = _as_of(asked, period, is_open=start is None)
            bars = bars if last is None and start is not None else bars[-count:]
        elif start is None:
            bars = _tail(asked, period, count)
        else:
            bars = _window(asked, period, last=last)
        if not bars:
            window = None if start is None else _instants(asked, period)
            raise TruetapeError(why_no_bars(store, reader, asked.symbol, venue, window))
    known_at = "" if as_of_ns is None else f" as known at {utc(as_of_ns)}"
    if plot is None:
        _print(bars, style, f"{asked.symbol} {resolution}{known_at}, times in UTC")
    else:
        plot_bars(bars, asked.symbol, f"{resolution}{known_at}", plot)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is shown, and where it is read."""

    store: "BarStore"
    reader: "BarReader"
    symbol: str
    venue: str | None

    def venues(self) -> list[str]:
        """Return the venues whose bars are shown."""
        from truetape.history.served_symbols import venues_of

        return [self.venue] if self.venue else venues_of(self.store, self.symbol)


def _instants(asked: _Asked, period: "Period") -> tuple[int, int]:
    """Return a period in nanoseconds: that of the only venue, or what includes all of them."""
    from truetape.host.venues import venue_named

    codes = asked.venues()
    return period.of(venue_named(codes[0])) if len(codes) == 1 else period.of_any()


def _tail(asked: _Asked, period: "Period", count: int) -> "list[ServedBar]":
    """Read the last bars of each venue before the end of a period."""
    from truetape.host.venues import venue_named

    if period.end is None:
        return asked.reader.tail(asked.store, asked.symbol, count, venue=asked.venue)
    return [
        bar
        for code in asked.venues()
        for bar in asked.reader.tail(
            asked.store, asked.symbol, count, venue=code, end_ns=period.of(venue_named(code))[1]
        )
    ]


def _window(asked: _Asked, period: "Period", *, last: int | None) -> "list[ServedBar]":
    """Read at most `MAX_SHOWN` bars of a period; with `last`, only the last ones of each venue."""
    bars: list[ServedBar] = []
    read = asked.reader.read_period(asked.store, period, venue=asked.venue, symbols=[asked.symbol])
    for bar in read:
        if len(bars) == MAX_SHOWN:
            raise TruetapeError(
                f"more than {MAX_SHOWN:,} bars of {asked.symbol} are in this window; "
                "narrow --from and --to"
            )
        bars.append(bar)
    if last is None:
        return bars
    venues = sorted({bar.venue for bar in bars})
    return [bar for code in venues for bar in [row for row in bars if row.venue == code][-last:]]


def _as_of(asked: _Asked, period: "Period", *, is_open: bool) -> "list[ServedBar]":
    """Fold the trades known at an instant: of a period, or of the last session with bars before
    its end, if its start is open.
    """
    from truetape.history.as_of import venue_of
    from truetape.history.known_bars import newest_known
    from truetape.host.venues import venue_named

    market = venue_named(asked.venue) if asked.venue else venue_of(asked.store, asked.symbol)
    start, end = period.of(market)
    if is_open:
        return newest_known(asked.reader, market, asked.symbol, end)
    known_until = min(end, asked.reader.known_ns + 1)
    return list(asked.reader.as_known(market, asked.symbol, start, known_until))


def _print(bars: "Sequence[ServedBar]", style: str, title: str) -> None:
    from truetape.serving.table import csv_lines, json_lines, table

    if style == "table":
        output.console().print(table(bars, title))
        return
    for line in csv_lines(bars) if style == "csv" else json_lines(bars):
        click.echo(line)
