"""The verb `quality`: checks a session, its served bars or the feeds; shows reports and trends.

Publishes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli.options import format_option, session_options
from truetape.cli.output import console, show_progress
from truetape.host.calendars import parse_session
from truetape.host.errors import ConfigError, GateClosedError
from truetape.host.private_home import current_settings
from truetape.host.settings import Settings
from truetape.host.venues import venue_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from truetape.quality.report import Report
    from truetape.quality.trend import RuleTrend

_EXAMPLES = 3

style_option = format_option("table", "json", text="For people, or the whole report for programs.")
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
    """Check a recomputed session with the rules of the publication gate, and print the report.

    Runs the suites of schemas/expectations on the session in the lake and on the edits that its
    publication would make. Writes only the report and its metrics. Exit code 66: a gate rule
    failed, and `truetape publish` would refuse the session. Flags are shown and stop nothing.

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

    settings = current_settings()
    _finish(
        settings, check_session(settings, parse_session(venue, day), show_progress), style, every
    )


@quality.command(short_help="Check the served bars of a session.")
@session_options
@style_option
@verbose_option
def served(venue: str, day: str, style: str, every: bool) -> None:
    """Check the served bars of a published session against the lake, row by row and by digest.

    Writes a report and metrics. `truetape verify` compares the same bars without Great Expectations
    and without a report. Exit code 66: a rule failed.
    """
    from truetape.quality.checks import check_served

    settings = current_settings()
    _finish(
        settings, check_served(settings, parse_session(venue, day), show_progress), style, every
    )


@quality.command(short_help="Check newly archived records.")
@style_option
@verbose_option
def feeds(style: str, every: bool) -> None:
    """Check the records archived since the last check: holes, rejections, lateness, duplicates.

    Reads at most 400,000 records; run it again while it reports that some are left. Writes a report
    and metrics. Exit code 66: a record is missing, or was lost without a trace.
    """
    from truetape.quality.checks import check_feed

    settings = current_settings()
    _finish(settings, check_feed(settings, show_progress), style, every)


@quality.command(short_help="Print the newest report again.")
@session_options
@click.option(
    "--kind",
    type=click.Choice(["gate", "served"]),
    default="gate",
    show_default=True,
    help="Report of the gate, or of the served bars.",
)
@style_option
@verbose_option
def report(venue: str, day: str, kind: str, style: str, every: bool) -> None:
    """Print the newest report of a session again, without checking anything.

    All reports are JSON files under quality/VENUE/SESSION in TRUETAPE_HOME. Exit code 78: there is
    no such report yet.
    """
    from truetape.quality import report as reports

    settings = current_settings()
    session = parse_session(venue, day)
    newest = reports.newest(settings.home, reports.ReportKind(kind), session.venue, session.date)
    if newest is None:
        raise ConfigError(f"no {kind} report of {venue} {day}; run `truetape quality` for it first")
    _print(settings.home, newest, style, every)


@quality.command(short_help="Compare a session with earlier ones.")
@click.option("--venue", required=True, help="Venue code, such as XNYS or KRAKEN.")
@click.option("--session", "day", metavar="DATE", help="Session date [the newest with a report].")
@verbose_option
def trend(venue: str, day: str | None, every: bool) -> None:
    """Compare a session's report with the reports of the 20 sessions before it.

    Shows for each rule the share of rows that break it: now, usually (the median) and at most. A
    share above three times the usual is marked. Writes nothing. Exit code 78: there is no report.
    """
    from truetape.quality import report as reports
    from truetape.quality import trend as trends

    settings = current_settings()
    venue_named(venue)
    if day is None:
        newest_day = next(reports.sessions(settings.home, venue), None)
        if newest_day is None:
            raise ConfigError(f"no reports of {venue}; run `truetape quality` for a session first")
        day = str(newest_day)
    session = parse_session(venue, day)
    newest = reports.newest(settings.home, reports.ReportKind.GATE, venue, session.date)
    if newest is None:
        raise ConfigError(f"no report of {venue} {day}; run `truetape quality` for it first")
    earlier = trends.earlier_reports(settings.home, venue, session.date)
    rows = trends.trend(newest, earlier)
    shown = [row for row in rows if every or row.share or row.most]
    console().print(_trend_table(shown, f"{venue} {day} and the {len(earlier)} sessions before"))
    hidden = len(rows) - len(shown)
    if hidden:
        click.echo(f"{hidden} rules were never broken by a row; --all lists them")


def _finish(settings: Settings, report: "Report", style: str, every: bool) -> None:
    """Print a report. Raise GateClosedError, for the exit code, if a gate rule failed."""
    from truetape.quality.report import refusal

    _print(settings.home, report, style, every)
    if (text := refusal(settings.home, report)) is not None:
        raise GateClosedError(text)


def _print(home: Path, report: "Report", style: str, every: bool) -> None:
    from truetape.quality.report import encode, path_of

    if style == "json":
        click.echo(encode(report), nl=False)
        return
    what = f"{report.venue} {report.session}" if report.venue else "feeds"
    console().print(_result_table(report, f"{what}, {report.kind}, run {report.run}", every))
    passed = sum(result.passed for result in report.results)
    counts = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    click.echo(
        f"{'open' if report.is_open else 'CLOSED'}: {passed} of {len(report.results)} rules hold "
        f"on {counts}; {sum(report.seconds.values()):.1f} s, {report.peak_mb:,} MB; "
        f"{path_of(home, report)}"
    )


def _result_table(report: "Report", title: str, every: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for heading in ("suite", "rule", "severity", "rows", "found", "meaning"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for result in report.results:
        if result.passed and not every:
            continue
        meaning = Text(result.meaning)
        for example in result.examples[:_EXAMPLES]:
            meaning.append(f"\n{_row_text(example)}", style="dim")
        cells = (result.suite, result.rule, result.severity, f"{result.rows:,}")
        style = None if result.passed else "bold red" if result.severity == "gate" else "yellow"
        table.add_row(*cells, Text(result.summary), meaning, style=style)
    if not table.row_count:
        table.add_row("", "", "", "", "", "every rule holds; --all lists them")
    return table


def _row_text(example: "Mapping[str, str]") -> str:
    """Return a row as text: times in ISO 8601, empty values left out."""
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
    for row in rows:
        shares = [f"{value:.4%}" if value is not None else "-" for value in (row.usual, row.most)]
        mark = "unusual" if row.is_unusual else ""
        table.add_row(row.suite, row.rule, f"{row.share:.4%}", *shares, str(row.sessions), mark)
    return table
