"""The verb `drift`: which bars publications changed, and why, as a table or a chart. Read only."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.options import (
    DAY,
    SYMBOL,
    VENUE,
    Whole,
    format_option,
    limit_option,
    plot_option,
    resolution_option,
)
from truetape.host.errors import TruetapeError
from truetape.host.private_home import current_settings, files_for_others
from truetape.host.words import counted

if TYPE_CHECKING:
    from truetape.drift.ledger import BarDrift, DriftLedger

LAST_SESSIONS = 20
DEFAULT_LINES = 50
WIDE = 180
CAUSES = (
    "missing", "late", "duplicate", "correction", "cancel", "eligibility", "revert",
    "unexplained",
)  # fmt: skip


@click.command()
@click.option("--session", "day", type=DAY, help="Only this session.")
@click.option("--venue", type=VENUE, help="Only this venue, such as XNYS.")
@click.option("--symbol", type=SYMBOL, help="Only this symbol.")
@click.option("--cause", type=click.Choice(CAUSES), help="Only bars that this cause changed.")
@click.option("--rev", type=Whole(1), help="Only what this publication changed.")
@resolution_option("Width of the bars: one at a time, since a trade changes a bar of each width.")
@limit_option(DEFAULT_LINES, "Most lines of the table.")
@format_option(
    "table", "csv", "jsonl", text="For people, spreadsheets or programs; --limit is for the table."
)
@plot_option("drift.html", "Draw a chart instead, into FILE or drift.html.")
def drift(  # noqa: PLR0917 - one parameter an option
    day: date | None,
    venue: str | None,
    symbol: str | None,
    cause: str | None,
    rev: int | None,
    resolution: str,
    limit: int,
    style: str,
    plot: str | None,
) -> None:
    """Show how final bars differ from the bars served before, and which trades caused it.

    Prints one line for each cause of each field: the value before and after, the part that the
    cause adds, the delay of its latest trade, and the trades that matter. The parts of a field's
    causes add up to its change. Without --session it shows the last 20 sessions that have drift.
    Writes nothing but the --plot file. Exit code 1: some drift is unexplained, which is a defect.

    \b
      truetape drift --session 2026-11-20
      truetape drift --session 2026-11-20 --symbol IBM --cause late --format csv
      truetape drift --plot drift.html
    """
    from truetape.drift.attribution import is_explained
    from truetape.drift.ledger import DriftLedger

    entries = [
        entry
        for entry in _entries(DriftLedger(current_settings().lake), day, venue, symbol)
        if entry.resolution.value == resolution
        and rev in (None, entry.rev)
        and (cause is None or cause in map(str, entry.causes))
    ]
    title = f"drift of {resolution} bars{f' on {day}' if day else ''}, times in UTC"
    if plot is not None:
        _plot(entries, cause, title, plot)
    else:
        _print(entries, cause, title, style, limit)
    unexplained = [entry for entry in entries if not is_explained(entry.fields)]
    if unexplained:
        first = unexplained[0]
        raise TruetapeError(
            f"{counted(len(unexplained), 'bar has', 'bars have')} drift that no event explains, "
            f"first {first.symbol} {resolution} at {first.start_ns}; "
            'see "Unexplained drift" in docs/RUNBOOK.md'
        )


def _entries(
    ledger: "DriftLedger", day: date | None, venue: str | None, symbol: str | None
) -> "list[BarDrift]":
    if day is not None:
        return ledger.between(day, day, venue, symbol)
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
    if lines:
        output.console(WIDE).print(table(lines[:limit], title))
    output.echo_rest(len(lines), limit)
    for text in sums(entries):
        click.echo(text)


def _plot(entries: "list[BarDrift]", cause: str | None, title: str, file: str) -> None:
    from truetape.drift.attribution import Cause
    from truetape.drift.chart import write_drift_chart

    if not file.endswith(".html"):
        raise click.UsageError(f"--plot {file!r}: give a name that ends in .html, like drift.html")
    with files_for_others():
        write_drift_chart(entries, title, Path(file), None if cause is None else Cause(cause))
    click.echo(f"{counted(len(entries), 'bar')} changed, in {file}")
