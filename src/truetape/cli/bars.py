"""The verb `bars`: parses its options and prints the bars of files. Folds nothing itself."""

import time
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.charts import plot_bars
from truetape.cli.options import (
    AMOUNT,
    INSTANT,
    SYMBOL,
    TIMEFRAME,
    date_is_option,
    feed_option,
    fill_option,
    origin_option,
    symbol_is_option,
)
from truetape.host.private_home import current_settings
from truetape.host.timeframes import require_timeframe
from truetape.market.amount_bars import Amount
from truetape.market.resolution import MS_NS
from truetape.market.timeframe import Fill

if TYPE_CHECKING:
    from truetape.batch.bar_requests import FileBar

NOTHING_ACCEPTED = 65
"""The exit code if every record was rejected; with `--strict` also if any was, or a file has none.
"""


@click.command()
@click.argument("files", nargs=-1, required=True)
@feed_option
@click.option(
    "--resolution", type=TIMEFRAME, help="Width of the bars, like 15s, 1m, 4h, 1d, 1w, 1M."
)
@origin_option
@fill_option
@click.option(
    "--by", type=AMOUNT, help="Tick, volume or dollar bars: trades=N, volume=N or notional=N."
)
@click.option("--profile", required=True, help="Eligibility profile: all, sip or lean.")
@click.option("--symbol", type=SYMBOL, help="Only this symbol, in capitals or small letters.")
@symbol_is_option
@date_is_option
@click.option(
    "--as-of", "as_of_ns", type=INSTANT, help="Use only records received at or before TIME."
)
@click.option(
    "--plot", is_flag=False, flag_value="", metavar="FILE.html", help="Draw the bars of one symbol."
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with code 65 if any record was rejected, or a file has no record.",
)
@click.option("--engine", type=click.Choice(["kernel", "reference"]), default="kernel")
@click.option("--format", "style", type=click.Choice(["csv", "jsonl"]), default="csv")
@click.pass_context
def bars(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context,
    files: tuple[str, ...],
    feed: str,
    resolution: str | None,
    origin: str,
    fill: str,
    by: Amount | None,
    profile: str,
    symbol: str | None,
    symbol_is: str | None,
    day: date | None,
    as_of_ns: int | None,
    plot: str | None,
    strict: bool,
    engine: str,
    style: str,
) -> None:
    """Fold trade FILES into bars of a width or of an amount, without any server.

    FILES are files, folders with everything below, patterns such as '2025-*.zip', and - for
    standard input: CSV, JSON lines, JSON pages and Parquet, also in .gz, .bz2, .zst and .zip.

    Prints the bars on stdout, or draws them with --plot, and on stderr what became of the records.
    Duplicates, cancels and corrections in the files are applied. Prices and sizes are exact
    decimals; each price x size is rounded to 18 decimals, so a VWAP of sizes near 10^-10 is rough.
    Both engines print the same bytes; `reference` is the slow, readable one, to compare
    with. Of folders, and of archives with several files, those are read that are named as trade
    files of the feed; the others are named on stderr. Exit code 65: every record was rejected, or
    with --strict any, or a file without one. 78: unknown feed, profile or format, or a file that
    does not say its symbol or date. 1: no trade has the --symbol.

    The volume of a day depends on the width: 1d, 1w and 1M are regular sessions
    with their auctions, all others and --by count extended hours too. A bar needs
    a print that sets a price, so an odd lot alone makes none.

    With --by a bar ends with the print that brings it to the amount; no print is split, and each
    session begins a new bar. Trades, volume and notional (price times size) are those of prints
    that count for volume.

    \b
      truetape bars 20131007_trade.zip --feed lean-equity-tick --profile lean --resolution 1m
      truetape bars day.jsonl --feed truetape --profile sip --resolution 1d \\
          --as-of 2026-11-20T21:05:00Z
      truetape bars day.jsonl --feed truetape --profile sip --resolution 30m --origin open
      truetape bars day.jsonl --feed truetape --profile sip --by volume=10000
      truetape bars day.jsonl --feed truetape --profile sip --resolution 1m --symbol IBM --plot
    """
    from truetape.batch import bar_lines, file_bars
    from truetape.batch.bar_requests import BarRequest
    from truetape.feeds import file_sources
    from truetape.feeds.contract import contract_named
    from truetape.feeds.file_names import NameParts

    settings = current_settings()
    if (resolution is None) == (by is None):
        raise click.UsageError("give either --resolution or --by")
    if resolution is None and (origin, fill) != ("utc", "none"):
        raise click.UsageError("--origin and --fill are for --resolution")
    width = by or require_timeframe(resolution, origin)
    read_ns = time.time_ns()
    known_ns = read_ns if as_of_ns is None else min(as_of_ns, read_ns)
    wanted = BarRequest(width, Fill(fill), known_ns)
    given = NameParts(symbol_is, day)
    sources = file_sources.find(files, contract_named(feed), given)
    for line in sources.notes():
        click.echo(line, err=True)
    request = file_bars.FileFold(
        files=sources.paths,
        feed=feed,
        bars=wanted,
        profile=profile,
        symbol=symbol,
        as_of_ns=as_of_ns,
        settings=settings,
        read_ms=read_ns // MS_NS,
        given=given,
        report=output.show_progress,
    )
    fold = file_bars.reference if engine == "reference" else file_bars.kernel
    outcome = fold(request)
    if plot is None:
        for line in bar_lines.lines(outcome.bars, style, wanted):
            click.echo(line)
    else:
        _plot(outcome.bars, resolution or str(by), plot)
    counts = outcome.counts
    for line in counts.lines(len(outcome.bars)):
        click.echo(line, err=True)
    has_empty = bool(counts.log.empty)
    if (strict and (counts.rejected or has_empty)) or (counts.rejected and not counts.accepted):
        ctx.exit(NOTHING_ACCEPTED)


def _plot(bars: "Sequence[FileBar]", width: str, file: str) -> None:
    """Draw bars. Raise UsageError unless they are of one symbol."""
    from truetape.serving.store import BAR_NUMBERS, ServedBar

    symbols = sorted({bar.symbol for bar in bars})
    if len(symbols) != 1:
        found = ", ".join(symbols[:10]) or "no bars"
        raise click.UsageError(f"--plot draws one symbol; there are {found}: add --symbol")
    drawn = [
        ServedBar.unpublished(
            (bar.symbol, bar.venue, bar.start_ns),
            [getattr(bar, name) for name in BAR_NUMBERS],
            trades=bar.trades,
            seq=place,
            layer="batch",
        ).in_state(rev=0, layer="batch", final=True, void=False)
        for place, bar in enumerate(bars)
    ]
    plot_bars(drawn, symbols[0], width, file)
