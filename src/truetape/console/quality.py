"""Quality reports: the newest of each session, those of a DAG run, one of them rule by rule."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice

from truetape.host.errors import NotThereError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.quality import report as reports
from truetape.quality.dag_runs import DagRun, Noted, noted
from truetape.quality.report import Kind, Report
from truetape.quality.results import RuleResult
from truetape.quality.trend import RuleTrend, earlier_reports, trend

MAX_SESSIONS = 20
"""Sessions of each venue that are listed, the newest first."""
_RUN = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Checked:
    """One report in a list: what it was about, and which rules did not hold."""

    report: Report
    broken: tuple[str, ...]
    flagged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a report, beside the same rule in earlier sessions."""

    result: RuleResult
    trend: RuleTrend | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of its examples' columns."""
        return tuple(dict.fromkeys(name for row in self.result.examples for name in row))


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A report with those that it is one of."""

    report: Report
    rules: tuple[Rule, ...]
    others: tuple[str, ...]
    """The runs of other reports of the same session, the newest first."""


def newest(settings: Settings) -> list[Checked]:
    """Return the newest gate report, and the newest of what is served, of recent sessions; then
    that of the feeds.
    """
    return [_checked(report) for report in _newest(settings)]


@dataclass(frozen=True, slots=True)
class RunReports:
    """The reports of one run of a DAG; `lost` are those that it had and that are kept no longer."""

    of: DagRun
    checked: tuple[Checked, ...]
    lost: tuple[Noted, ...]


def of_run(settings: Settings, of: DagRun) -> RunReports:
    """Return the reports that the tasks of a run made, or took as they were."""
    there: list[Checked] = []
    lost: list[Noted] = []
    for one in noted(settings.home, of):
        path = one.path(settings.home)
        if path.is_file():
            there.append(_checked(reports.read(path)))
        else:
            lost.append(one)
    return RunReports(of, tuple(there), tuple(lost))


def page(settings: Settings, venue: str, session: date | None, run: str) -> ReportPage:
    """Return one report, of the feeds where no session is named; NotThereError where it is none."""
    if not _RUN.fullmatch(run) or (venue and venue not in venues()):
        raise NotThereError(f"no report {run!r} of {venue or 'the feeds'}")
    folder = reports.folder_of(settings.home, venue or None, session)
    path = folder / f"{run}.json"
    if not path.is_file():
        raise NotThereError(
            f"no report {run} of {venue or 'the feeds'} {session or ''}; it may be old"
        )
    report = reports.read(path)
    others = sorted((one.stem for one in folder.glob("*.json") if one != path), reverse=True)
    return ReportPage(report, tuple(_rules(settings, report)), tuple(others[:MAX_SESSIONS]))


def _newest(settings: Settings) -> Iterator[Report]:
    for venue in sorted(venues()):
        for day in islice(reports.sessions(settings.home, venue), MAX_SESSIONS):
            for kind in (Kind.GATE, Kind.SERVED):
                if found := reports.newest(settings.home, kind, venue, day):
                    yield found
    if found := reports.newest(settings.home, Kind.FEED, None, None):
        yield found


def _checked(report: Report) -> Checked:
    failing = [one for one in report.results if not one.passed]
    return Checked(
        report,
        tuple(one.rule for one in failing if one.severity.value == "gate"),
        tuple(one.rule for one in failing if one.severity.value != "gate"),
    )


def _rules(settings: Settings, report: Report) -> Iterator[Rule]:
    """The rules that do not hold first, the gate's before the flags."""
    trends: Mapping[tuple[str, str], RuleTrend] = {}
    if report.kind is Kind.GATE and report.venue and report.session:
        earlier = earlier_reports(settings.home, report.venue, report.session)
        trends = {(one.suite, one.rule): one for one in trend(report, earlier)}
    ordered = sorted(report.results, key=lambda one: (one.passed, one.severity.value != "gate"))
    for result in ordered:
        yield Rule(result, trends.get((result.suite, result.rule)))
