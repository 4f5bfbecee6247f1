"""The verb `quality`: check a session, what is served, or the feeds; look at reports and trends."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli.batch import session_options
from truetape.host.calendars import parse_session
from truetape.host.errors import ConfigError, GateClosedError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from truetape.quality.report import Report
    from truetape.quality.trend import RuleTrend

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""
_EXAMPLES = 3

style_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For eyes, or the whole report for programs.",
)
verbose_option = click.option("--all", "every", is_flag=True, help="List the rules that hold, too.")


@click.group(invoke_without_command=True)
@click.option("--venue", help="Venue code, such as XNYS or KRAKEN.")
@click.option("--session", "day", metavar="DATE", help="Session date.")
@style_option
@verbose_option
@click.pass_context
def quality(
    ctx: click.Context, venue: str | None, day: str | None, style: str, every: bool
) -> None:
    """Check a recomputed session as the gate before a publication does, and print what was found.

    Runs the suites of schemas/expectations on the session in the lake and on what publishing it
    would change; writes nothing but the report and its metrics. Exit code 66 when a gate rule does
    not hold: `truetape publish` would refuse. Flags are shown and stop nothing.

    \b
      truetape quality --venue XNYS --session 2026-11-20
      truetape quality --venue XNYS --session 2026-11-20 --format json
      truetape quality report --venue XNYS --session 2026-11-20
      truetape quality trend --venue XNYS
    """
    if ctx.invoked_subcommand is not None:
        return
    if venue is None or day is None:
        raise click.UsageError("give --venue and --session, or one of the commands below", ctx)
    from truetape.quality.checks import check_session

    settings = Settings.from_env()
    _finish(settings, check_session(settings, parse_session(venue, day), _progress), style, every)


@quality.command(short_help="What is served of a published session.")
@session_options
@style_option
@verbose_option
def served(venue: str, day: str, style: str, every: bool) -> None:
    """Check what is served of a published session, row by row and by digest, against the lake.

    Exit code 66 when a rule does not hold. `truetape verify` compares the same and needs no Great
    Expectations; this keeps a report and metrics.
    """
    from truetape.quality.checks import check_served

    settings = Settings.from_env()
    _finish(settings, check_served(settings, parse_session(venue, day), _progress), style, every)


@quality.command(short_help="What the archive brought in.")
@style_option
@verbose_option
def feeds(style: str, every: bool) -> None:
    """Check what the archive brought in since the last look: holes, rejections, lateness, repeats.

    Looks at 400,000 records at most; run it again while it says that some are left. Exit code 66
    when a record is missing or was lost without a trace.
    """
    from truetape.quality.checks import check_feed

    settings = Settings.from_env()
    _finish(settings, check_feed(settings, _progress), style, every)


@quality.command(short_help="Print the newest report again.")
@session_options
@click.option(
    "--kind",
    type=click.Choice(["gate", "served"]),
    default="gate",
    show_default=True,
    help="Before the publication, or of what is served.",
)
@style_option
@verbose_option
def report(venue: str, day: str, kind: str, style: str, every: bool) -> None:
    """Print the newest report of a session again, without checking anything.

    All reports are JSON files under quality/VENUE/SESSION in TRUETAPE_HOME.
    """
    from truetape.quality import report as reports

    settings = Settings.from_env()
    session = parse_session(venue, day)
    found = reports.newest(settings.home, reports.Kind(kind), session.venue, session.date)
    if found is None:
        raise ConfigError(f"no {kind} report of {venue} {day}; run `truetape quality` for it first")
    _print(settings.home, found, style, every)


@quality.command(short_help="A session beside those before it.")
@click.option("--venue", required=True, help="Venue code, such as XNYS or KRAKEN.")
@click.option("--session", "day", metavar="DATE", help="Session date [the newest with a report].")
@verbose_option
def trend(venue: str, day: str | None, every: bool) -> None:
    """Hold a session's rules against the 20 sessions before it, from their reports.

    Shows the share of rows that break a rule now, usually (the median) and at most; marked are
    those above three times the usual.
    """
    from truetape.quality import report as reports
    from truetape.quality import trend as trends

    settings = Settings.from_env()
    if day is None:
        newest_day = next(reports.sessions(settings.home, venue), None)
        if newest_day is None:
            raise ConfigError(f"no reports of {venue}; run `truetape quality` for a session first")
        day = str(newest_day)
    session = parse_session(venue, day)
    found = reports.newest(settings.home, reports.Kind.GATE, venue, session.date)
    if found is None:
        raise ConfigError(f"no report of {venue} {day}; run `truetape quality` for it first")
    earlier = trends.earlier_reports(settings.home, venue, session.date)
    rows = trends.trend(found, earlier)
    shown = [row for row in rows if every or row.share or row.most]
    _show(_trend_table(shown, f"{venue} {day} beside {len(earlier)} sessions before"))
    hidden = len(rows) - len(shown)
    if hidden:
        click.echo(f"{hidden} rules never had a row against them; --all lists them")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(line, err=True)


def _finish(settings: Settings, found: "Report", style: str, every: bool) -> None:
    """Print a report; GateClosedError, for the exit code, where a gate rule does not hold."""
    from truetape.quality.report import refusal

    _print(settings.home, found, style, every)
    if (text := refusal(settings.home, found)) is not None:
        raise GateClosedError(text)


def _print(home: Path, found: "Report", style: str, every: bool) -> None:
    from truetape.quality.report import encode, path_of

    if style == "json":
        click.echo(encode(found), nl=False)
        return
    what = f"{found.venue} {found.session}" if found.venue else "feeds"
    _show(_result_table(found, f"{what}, {found.kind}, run {found.run}", every))
    held = sum(one.passed for one in found.results)
    counts = ", ".join(f"{count:,} {name}" for name, count in found.rows.items())
    click.echo(
        f"{'open' if found.is_open else 'CLOSED'}: {held} of {len(found.results)} rules hold on "
        f"{counts}; {sum(found.seconds.values()):.1f} s, {found.peak_mb:,} MB; "
        f"{path_of(home, found)}"
    )


def _show(table: "Table") -> None:
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=WIDE)
    console.print(table)


def _result_table(found: "Report", title: str, every: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for heading in ("suite", "rule", "severity", "rows", "found", "meaning"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for one in found.results:
        if one.passed and not every:
            continue
        meaning = Text(one.meaning)
        for example in one.examples[:_EXAMPLES]:
            meaning.append(f"\n{_told(example)}", style="dim")
        style = None if one.passed else "bold red" if one.severity == "gate" else "yellow"
        rows = f"{one.rows:,}"
        table.add_row(
            one.suite, one.rule, one.severity, rows, Text(one.summary), meaning, style=style
        )
    if not table.row_count:
        table.add_row("", "", "", "", "", "every rule holds; --all lists them")
    return table


def _told(example: "Mapping[str, str]") -> str:
    """Return a row as it is told: times as ISO beside, empty values left out."""
    from truetape.feeds.native import iso

    return " ".join(
        f"{name}={iso(int(value)) if name in _TIMES else value}"
        for name, value in example.items()
        if value
    )


_TIMES = ("event_ns", "received_ns", "start_ns", "first_event_ns", "last_event_ns")


def _trend_table(rows: "Sequence[RuleTrend]", title: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("suite", "rule", "now", "usual", "most", "sessions", ""):
        table.add_column(heading, justify="left" if heading in ("suite", "rule", "") else "right")
    for one in rows:
        shares = [f"{value:.4%}" if value is not None else "-" for value in (one.usual, one.most)]
        mark = "unusual" if one.is_unusual else ""
        table.add_row(one.suite, one.rule, f"{one.share:.4%}", *shares, str(one.sessions), mark)
    return table
