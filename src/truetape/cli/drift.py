"""The verb `drift`: what publications changed, and why, as table or chart."""

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli.batch import RESOLUTION
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.drift.ledger import BarDrift, DriftLedger

LAST_SESSIONS = 20
DEFAULT_LINES = 50
WIDE = 180
"""Columns of a table that goes into a file or a pipe."""
CAUSES = (
    "missing", "late", "duplicate", "correction", "cancel", "eligibility", "order", "revert",
    "unexplained",
)  # fmt: skip


@click.command()
@click.option("--session", "day", type=click.DateTime(["%Y-%m-%d"]), help="Only this session.")
@click.option("--venue", help="Only this venue, such as XNYS.")
@click.option("--symbol", help="Only this symbol.")
@click.option("--cause", type=click.Choice(CAUSES), help="Only bars that this cause changed.")
@click.option("--rev", type=int, help="Only what this publication changed.")
@click.option(
    "--resolution",
    type=RESOLUTION,
    default="1m",
    show_default=True,
    help="Width of the bars: one at a time, since the same trade moves a bar of each.",
)
@click.option("--limit", default=DEFAULT_LINES, show_default=True, help="Most lines of the table.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "jsonl"]),
    default="table",
    show_default=True,
    help="For eyes, spreadsheets or programs; only the table is cut at --limit.",
)
@click.option(
    "--plot",
    is_flag=False,
    flag_value="drift.html",
    metavar="[FILE.html]",
    help="Draw a chart instead, into FILE or drift.html.",
)
def drift(  # noqa: PLR0917 - one parameter an option
    day: datetime | None,
    venue: str | None,
    symbol: str | None,
    cause: str | None,
    rev: int | None,
    resolution: str,
    limit: int,
    style: str,
    plot: str | None,
) -> None:
    """Show how final bars differ from what was served before, and which trades are why.

    One line for each cause of each field: before, after, what the cause adds, how late the latest
    of its trades was, and the trades that matter. The deltas of a field's causes add up. Without
    --session the last 20 sessions that have drift. Exit code 1 when something is unexplained, which
    is a defect.

    \b
      truetape drift --session 2026-11-20
      truetape drift --session 2026-11-20 --symbol IBM --cause late --format csv
      truetape drift --plot drift.html
    """
    from truetape.drift.attribution import is_explained
    from truetape.drift.ledger import DriftLedger

    found = [
        entry
        for entry in _entries(DriftLedger(Settings.from_env().lake), day, venue, symbol)
        if entry.resolution.value == resolution
        and rev in (None, entry.rev)
        and (cause is None or cause in map(str, entry.causes))
    ]
    title = f"drift of {resolution} bars{f' on {day:%Y-%m-%d}' if day else ''}, times in UTC"
    if plot is not None:
        _plot(found, title, plot)
    else:
        _print(found, cause, title, style, limit)
    lost = [entry for entry in found if not is_explained(entry.fields)]
    if lost:
        raise TruetapeError(
            f"{len(lost):,} bars have drift that no event explains, first {lost[0].symbol} "
            f'{resolution} at {lost[0].start_ns}; see "Unexplained drift" in docs/RUNBOOK.md'
        )


def _entries(
    ledger: "DriftLedger", day: datetime | None, venue: str | None, symbol: str | None
) -> "list[BarDrift]":
    if day is not None:
        return ledger.between(day.date(), day.date(), venue, symbol)
    dates: list[date] = [when for when, _ in ledger.sessions(venue)]
    if not dates:
        return []
    first = sorted(set(dates))[-LAST_SESSIONS:][0]
    return ledger.between(first, dates[-1], venue, symbol)


def _print(
    entries: "list[BarDrift]", cause: str | None, title: str, style: str, limit: int
) -> None:
    from truetape.drift.attribution import Cause
    from truetape.drift.table import csv_lines, json_lines, lines_of, sums, table

    lines = lines_of(entries, None if cause is None else Cause(cause))
    if style != "table":
        for text in csv_lines(lines) if style == "csv" else json_lines(lines):
            click.echo(text)
        return
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    if lines:
        console.print(table(lines[:limit], title))
    if len(lines) > limit:
        click.echo(f"and {len(lines) - limit:,} lines more; --limit shows them")
    for text in sums(entries):
        click.echo(text)


def _plot(entries: "list[BarDrift]", title: str, file: str) -> None:
    from truetape.drift.chart import write_drift_chart

    if not file.endswith(".html"):
        raise click.UsageError(f"--plot {file!r}: a chart is a page, so give a name like d.html")
    write_drift_chart(entries, title, Path(file))
    click.echo(f"{len(entries):,} bars changed, in {file}")
