"""Quality reports: the newest of each session, all of a DAG run, one report rule by rule.

Checks nothing itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice

from truetape.host.errors import NotThereError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.quality import report as reports
from truetape.quality.dag_runs import DagRun, ReportEntry, reports_of
from truetape.quality.report import Report, ReportKind
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity
from truetape.quality.trend import RuleTrend, earlier_reports, trend

MAX_SESSIONS = 20
"""The most sessions of each venue in the list, newest first."""
SPARK_WIDTH, SPARK_HEIGHT = 90.0, 20.0
"""The size of a sparkline, in pixels."""
KINDS = {
    ReportKind.GATE: "recomputed bars and trades, before publication",
    ReportKind.SERVED: "served bars, after publication",
    ReportKind.FEED: "records that the archive added",
}
_RUN = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """One report in a list, with its broken gate rules and its flagged rules."""

    report: Report
    broken: tuple[str, ...]
    flagged: tuple[str, ...]

    @property
    def passed(self) -> int:
        """Return the number of rules that passed."""
        return len(self.report.results) - len(self.broken) - len(self.flagged)

    @property
    def checked(self) -> str:
        """Return what was checked, in words."""
        return KINDS[self.report.kind]


@dataclass(frozen=True, slots=True)
class RuleWithTrend:
    """One rule of a report, and its results in earlier sessions."""

    result: RuleResult
    trend: RuleTrend | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the column names of the example rows."""
        return tuple(dict.fromkeys(name for row in self.result.examples for name in row))

    @property
    def state(self) -> str:
        """Return how the rule came out: `passed`, `failed`, `flagged` or `unchecked`."""
        if self.result.passed:
            return "passed"
        if self.result.error:
            return "unchecked"
        return "failed" if self.result.severity is Severity.GATE else "flagged"

    @property
    def observed(self) -> str:
        """Return what was found; a rule about rows counts those that break it."""
        result = self.result
        if result.error or (not result.passed and not result.rows):
            return result.summary
        if result.rows:
            return f"{result.unexpected:,} of {result.rows:,} rows break it"
        return result.observed or "as expected"

    @property
    def spark(self) -> str:
        """Return the points of a line: the share of broken rows in earlier sessions, then now."""
        if self.trend is None or not self.trend.before:
            return ""
        shares = (*self.trend.before, self.trend.share)
        step, top = SPARK_WIDTH / (len(shares) - 1), max(*shares, 1e-9)
        return " ".join(
            f"{number * step:.1f},{SPARK_HEIGHT - 1 - share / top * (SPARK_HEIGHT - 2):.1f}"
            for number, share in enumerate(shares)
        )


@dataclass(frozen=True, slots=True)
class RuleFilter:
    """Which rules of a report are shown; an empty text means all."""

    suite: str = ""
    severity: str = ""
    state: str = ""

    def takes(self, rule: RuleWithTrend) -> bool:
        """True if a rule is shown. The state `broken` means every state but `passed`."""
        result = rule.result
        return (
            self.suite in ("", result.suite)
            and self.severity in ("", result.severity.value)
            and (self.state in ("", rule.state) or (self.state == "broken" and not result.passed))
        )


@dataclass(frozen=True, slots=True)
class ReportPage:
    """One report rule by rule, and the other reports of the same session."""

    report: Report
    rules: tuple[RuleWithTrend, ...]
    others: tuple[Report, ...]
    """The other reports of the session, newest first."""

    @property
    def summary(self) -> ReportSummary:
        """Return the counts of the report."""
        return _summary(self.report)

    @property
    def suites(self) -> tuple[str, ...]:
        """Return the suites that were checked, in order."""
        return tuple(dict.fromkeys(rule.result.suite for rule in self.rules))


def newest(settings: Settings) -> list[ReportSummary]:
    """Return the newest gate report and the newest report on served bars of each recent session,
    then the newest report on feeds.
    """
    return [_summary(report) for report in _newest(settings)]


@dataclass(frozen=True, slots=True)
class RunReports:
    """The reports of one run of a DAG; the files of those in `deleted` are gone."""

    run: DagRun
    summaries: tuple[ReportSummary, ...]
    deleted: tuple[ReportEntry, ...]


def of_run(settings: Settings, run: DagRun) -> RunReports:
    """Return the reports that the tasks of a run wrote or reused."""
    summaries: list[ReportSummary] = []
    deleted: list[ReportEntry] = []
    for entry in reports_of(settings.home, run):
        path = entry.path(settings.home)
        if path.is_file():
            summaries.append(_summary(reports.read(path)))
        else:
            deleted.append(entry)
    return RunReports(run, tuple(summaries), tuple(deleted))


def page(settings: Settings, venue: str, session: date | None, run: str) -> ReportPage:
    """Return one report; without a session it is a report on feeds.

    Raise NotThereError if there is no such report.
    """
    if not _RUN.fullmatch(run) or (venue and venue not in venues()):
        raise NotThereError(f"no report {run!r} of {venue or 'the feeds'}")
    folder = reports.folder_of(settings.home, venue or None, session)
    path = folder / f"{run}.json"
    if not path.is_file():
        raise NotThereError(
            f"no report {run} of {venue or 'the feeds'} {session or ''}; it may be old"
        )
    report = reports.read(path)
    others = sorted((other for other in folder.glob("*.json") if other != path), reverse=True)
    return ReportPage(
        report,
        tuple(_rules(settings, report)),
        tuple(reports.read(other) for other in others[:MAX_SESSIONS]),
    )


def _newest(settings: Settings) -> Iterator[Report]:
    for venue in sorted(venues()):
        for day in islice(reports.sessions(settings.home, venue), MAX_SESSIONS):
            for kind in (ReportKind.GATE, ReportKind.SERVED):
                if report := reports.newest(settings.home, kind, venue, day):
                    yield report
    if report := reports.newest(settings.home, ReportKind.FEED, None, None):
        yield report


def _summary(report: Report) -> ReportSummary:
    failing = [result for result in report.results if not result.passed]
    return ReportSummary(
        report,
        tuple(result.rule for result in failing if result.severity is Severity.GATE),
        tuple(result.rule for result in failing if result.severity is not Severity.GATE),
    )


def _rules(settings: Settings, report: Report) -> Iterator[RuleWithTrend]:
    """Yield the rules that failed first, gate rules before flags."""
    trends: Mapping[tuple[str, str], RuleTrend] = {}
    if report.kind is ReportKind.GATE and report.venue and report.session:
        earlier = earlier_reports(settings.home, report.venue, report.session)
        trends = {(rule.suite, rule.rule): rule for rule in trend(report, earlier)}
    ordered = sorted(
        report.results, key=lambda result: (result.passed, result.severity is not Severity.GATE)
    )
    for result in ordered:
        yield RuleWithTrend(result, trends.get((result.suite, result.rule)))
