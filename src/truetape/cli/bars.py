"""The verb `bars`: parses its options and prints the bars of files. Folds nothing itself."""

import time
from pathlib import Path

import click

from truetape.cli.options import INSTANT, RESOLUTION, SYMBOL
from truetape.host.private_home import current_settings
from truetape.market.resolution import MS_NS, Resolution


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--feed", required=True, help="Feed contract; `truetape decode --help` lists them.")
@click.option("--resolution", required=True, type=RESOLUTION)
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
    resolution: str,
    profile: str,
    symbol: str | None,
    as_of_ns: int | None,
    engine: str,
    style: str,
) -> None:
    """Fold trade FILES into bars, without any server.

    Prints the bars on stdout and the counts of records on stderr; writes nothing else. Duplicates,
    cancels and corrections in the files are applied. Prices and sizes are exact decimals. Both
    engines print the same bytes; `reference` is the slow, readable one, to compare with. Rejected
    records are counted and do not fail the command; exit code 78 means an unknown feed or profile.

    \b
      truetape bars 20131007_trade.zip --feed lean-equity-tick --profile lean --resolution 1m
      truetape bars day.jsonl --feed truetape --profile sip --resolution 1d \\
          --as-of 2026-11-20T21:05:00Z
    """
    from truetape.batch import file_bars

    request = file_bars.FileFold(
        files=files,
        feed=feed,
        resolution=Resolution(resolution),
        profile=profile,
        symbol=symbol,
        as_of_ns=as_of_ns,
        settings=current_settings(),
        read_ms=time.time_ns() // MS_NS,
    )
    fold = file_bars.reference if engine == "reference" else file_bars.kernel
    outcome = fold(request)
    for line in file_bars.lines(outcome.bars, style):
        click.echo(line)
    click.echo(
        f"{outcome.received:,} records received = {outcome.accepted:,} accepted "
        f"+ {outcome.rejected:,} rejected; {len(outcome.bars):,} bars",
        err=True,
    )
    for reason, count in sorted(outcome.reasons.items()):
        click.echo(f"  rejected {reason}: {count:,}", err=True)
