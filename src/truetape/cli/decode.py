"""The verb `truetape decode`: payloads on stdin, native JSON lines on stdout."""

import sys
from datetime import datetime

import click


@click.command()
@click.option("--feed", required=True, help="The feed's name, such as truetape or kraken.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The date of times of day, for feeds that do not tell it (LEAN).",
)
@click.option("--symbol", help="The symbol, for feeds that do not tell it (LEAN).")
def decode(feed: str, day: datetime | None, symbol: str | None) -> None:
    """Decode payloads of a feed, one a line on stdin, into native JSON lines on stdout.

    One line is printed for each trade, cancel or correction, in order, however many a payload
    holds. What does not fit the feed's contract gives a line of kind "rejected" with the reason,
    the detail, its index inside the payload and the input line. Rejections do not fail the
    command: the exit code is 0, and the sum is told on stderr.

    \b
    head -1 trades.jsonl | truetape decode --feed truetape
    unzip -p ibm/20131007_trade.zip | truetape decode --feed lean-equity-tick \\
        --date 2013-10-07 --symbol IBM
    """
    from truetape.cli import decode_lines
    from truetape.feeds import contract_file

    if feed not in contract_file.names():
        raise click.BadParameter(
            f"there is no feed {feed!r}; there are {', '.join(contract_file.names())}",
            param_hint="--feed",
        )
    task = decode_lines.Task.of(contract_file.load(feed), day.date() if day else None, symbol)
    lacking = task.lacking()
    if lacking is not None:
        raise click.UsageError(f"feed {feed} does not tell {lacking[0]}; add {lacking[1]}")
    tally = task.run(sys.stdin.buffer, sys.stdout.buffer)
    click.echo(str(tally), err=True)
