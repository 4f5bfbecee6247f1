"""The verb `bars`: parses its options and prints the bars of files. Folds nothing itself."""

import time
from pathlib import Path

import click

from truetape.cli.options import AMOUNT, INSTANT, SYMBOL, TIMEFRAME, fill_option, origin_option
from truetape.host.private_home import current_settings
from truetape.host.timeframes import require_timeframe
from truetape.market.amount_bars import Amount
from truetape.market.resolution import MS_NS
from truetape.market.timeframe import Fill


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--feed", required=True, help="Feed contract; `truetape decode --help` lists them.")
@click.option(
    "--resolution", type=TIMEFRAME, help="Width of the bars, like 15s, 1m, 4h, 1d, 1w, 1M."
)
@origin_option
@fill_option
@click.option(
    "--by", type=AMOUNT, help="Tick, volume or dollar bars: trades=N, volume=N or notional=N."
)
@click.option("--profile", required=True, help="Eligibility profile: all, sip or lean.")
@click.option("--symbol", type=SYMBOL, help="Only this symbol.")
@click.option(
    "--as-of", "as_of_ns", type=INSTANT, help="Use only records received at or before TIME."
)
@click.option("--engine", type=click.Choice(["kernel", "reference"]), default="kernel")
@click.option("--format", "style", type=click.Choice(["csv", "jsonl"]), default="csv")
def bars(  # noqa: PLR0917 - one parameter an option
    files: tuple[Path, ...],
    feed: str,
    resolution: str | None,
    origin: str,
    fill: str,
    by: Amount | None,
    profile: str,
    symbol: str | None,
    as_of_ns: int | None,
    engine: str,
    style: str,
) -> None:
    """Fold trade FILES into bars of a width or of an amount, without any server.

    Prints the bars on stdout and the counts of records on stderr; writes nothing else. Duplicates,
    cancels and corrections in the files are applied. Prices and sizes are exact decimals. Both
    engines print the same bytes; `reference` is the slow, readable one, to compare with. Rejected
    records are counted and do not fail the command; exit code 78 means an unknown feed or profile.

    With --by a bar ends with the print that brings it to the amount; no print is split, and each
    session begins a new bar. Trades, volume and notional (price times size) are those of prints
    that count for volume.

    \b
      truetape bars 20131007_trade.zip --feed lean-equity-tick --profile lean --resolution 1m
      truetape bars day.jsonl --feed truetape --profile sip --resolution 1d \\
          --as-of 2026-11-20T21:05:00Z
      truetape bars day.jsonl --feed truetape --profile sip --resolution 30m --origin open
      truetape bars day.jsonl --feed truetape --profile sip --by volume=10000
    """
    from truetape.batch import bar_lines, file_bars
    from truetape.batch.bar_requests import BarRequest

    if (resolution is None) == (by is None):
        raise click.UsageError("give either --resolution or --by")
    if resolution is None and (origin, fill) != ("utc", "none"):
        raise click.UsageError("--origin and --fill are for --resolution")
    width = by or require_timeframe(resolution, origin)
    read_ns = time.time_ns()
    known_ns = read_ns if as_of_ns is None else min(as_of_ns, read_ns)
    wanted = BarRequest(width, Fill(fill), known_ns)
    request = file_bars.FileFold(
        files=files,
        feed=feed,
        bars=wanted,
        profile=profile,
        symbol=symbol,
        as_of_ns=as_of_ns,
        settings=current_settings(),
        read_ms=read_ns // MS_NS,
    )
    fold = file_bars.reference if engine == "reference" else file_bars.kernel
    outcome = fold(request)
    for line in bar_lines.lines(outcome.bars, style, wanted):
        click.echo(line)
    click.echo(
        f"{outcome.received:,} records received = {outcome.accepted:,} accepted "
        f"+ {outcome.rejected:,} rejected; {len(outcome.bars):,} bars",
        err=True,
    )
    for reason, count in sorted(outcome.reasons.items()):
        click.echo(f"  rejected {reason}: {count:,}", err=True)
