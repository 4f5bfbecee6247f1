"""The trend: a session's rules beside those of the sessions before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median

from truetape.quality.baselines import History, SymbolFacts
from truetape.quality.report import Kind, Report, newest, sessions

SESSIONS = 20
"""How many earlier sessions are looked at, about a month."""
TIMES = 3.0
LEAST_EXCESS = 0.001
"""A share is unusual above three times the usual one, and by at least one row in a thousand."""


@dataclass(frozen=True, slots=True)
class RuleTrend:
    """One rule: its share of unexpected rows now, the median and the most of sessions before."""

    suite: str
    rule: str
    share: float
    usual: float | None
    most: float | None
    sessions: int

    @property
    def is_unusual(self) -> bool:
        """Say whether clearly more rows break the rule than usually do."""
        if self.usual is None:
            return False
        return self.share > TIMES * self.usual and self.share - self.usual >= LEAST_EXCESS


def earlier_reports(home: Path, venue: str, before: date) -> list[Report]:
    """Return the newest gate report of each of the `SESSIONS` before a date, oldest first."""
    days = islice(sessions(home, venue, before), SESSIONS)
    found = (newest(home, Kind.GATE, venue, day) for day in days)
    return [report for report in found if report is not None][::-1]


def trend(report: Report, earlier: Sequence[Report]) -> list[RuleTrend]:
    """Hold each rule of a report against the same rule in earlier ones."""
    return [
        _trend(one.suite, one.rule, one.share, list(_shares(earlier, one.suite, one.rule)))
        for one in report.results
    ]


def history(earlier: Iterable[Report]) -> History:
    """Return the facts of each symbol, oldest first."""
    found: dict[str, list[SymbolFacts]] = {}
    for report in earlier:
        for symbol, facts in report.facts.items():
            found.setdefault(symbol, []).append(facts)
    return found


def _shares(earlier: Sequence[Report], suite: str, rule: str) -> Iterable[float]:
    for report in earlier:
        for one in report.results:
            if (one.suite, one.rule) == (suite, rule) and not one.error:
                yield one.share


def _trend(suite: str, rule: str, share: float, before: list[float]) -> RuleTrend:
    if not before:
        return RuleTrend(suite, rule, share, None, None, 0)
    return RuleTrend(suite, rule, share, median(before), max(before), len(before))
