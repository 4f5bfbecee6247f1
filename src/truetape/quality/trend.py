"""The trend: the results of a session beside those of earlier sessions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median

from truetape.quality.baselines import History, SymbolFacts
from truetape.quality.report import Report, ReportKind, newest, sessions

SESSIONS = 20
"""Number of earlier sessions that are compared, about a month."""
TIMES = 3.0
LEAST_EXCESS = 0.001
"""A share is unusual if it is three times the usual one and at least one row in 1,000 higher."""


@dataclass(frozen=True, slots=True)
class RuleTrend:
    """One rule: its share of unexpected rows, and the median and maximum of earlier sessions."""

    suite: str
    rule: str
    share: float
    usual: float | None
    most: float | None
    before: tuple[float, ...]
    """The shares of earlier sessions, oldest first."""

    @property
    def sessions(self) -> int:
        """Return the number of earlier sessions."""
        return len(self.before)

    @property
    def is_unusual(self) -> bool:
        """True if clearly more rows than usual break the rule."""
        if self.usual is None:
            return False
        return self.share > TIMES * self.usual and self.share - self.usual >= LEAST_EXCESS


def earlier_reports(home: Path, venue: str, before: date) -> list[Report]:
    """Return the newest gate report of each of the last `SESSIONS` before a date, oldest first."""
    days = islice(sessions(home, venue, before), SESSIONS)
    newest_reports = (newest(home, ReportKind.GATE, venue, day) for day in days)
    return [report for report in newest_reports if report is not None][::-1]


def trend(report: Report, earlier: Sequence[Report]) -> list[RuleTrend]:
    """Compare each rule of a report with the same rule in earlier reports."""
    return [
        _trend(
            result.suite,
            result.rule,
            result.share,
            list(_shares(earlier, result.suite, result.rule)),
        )
        for result in report.results
    ]


def history(earlier: Iterable[Report]) -> History:
    """Return the facts of each symbol, oldest first."""
    by_symbol: dict[str, list[SymbolFacts]] = {}
    for report in earlier:
        for symbol, facts in report.facts.items():
            by_symbol.setdefault(symbol, []).append(facts)
    return by_symbol


def _shares(earlier: Sequence[Report], suite: str, rule: str) -> Iterable[float]:
    for report in earlier:
        for result in report.results:
            if (result.suite, result.rule) == (suite, rule) and not result.error:
                yield result.share


def _trend(suite: str, rule: str, share: float, before: list[float]) -> RuleTrend:
    if not before:
        return RuleTrend(suite, rule, share, None, None, ())
    return RuleTrend(suite, rule, share, median(before), max(before), tuple(before))
