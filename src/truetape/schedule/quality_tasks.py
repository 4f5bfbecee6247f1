"""What the task of the DAG data_quality runs: a check of everything new since the last check.

Holds no rule: suites do.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from truetape.host import calendars
from truetape.host.errors import GateClosedError
from truetape.host.private_home import current_settings
from truetape.quality.dag_runs import DagRun

MAX_FEED_CHECKS = 25
"""The most feed checks of one run, of 400,000 records each; the next run continues after them."""


def published_sessions(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return venue and date of each session in events of the asset `bars`, without repeats."""
    return list(dict.fromkeys((event["venue"], event["session"]) for event in events))


def check(sessions: Iterable[tuple[str, str]], run: DagRun) -> dict[str, Any]:
    """Check the served bars of sessions, then the records archived since the last check.

    Each check writes a report and metrics; the report is recorded under `run`. Raise
    GateClosedError with the failed gate rules of all sessions, and of the first feed check that has
    one; the next run continues after that check.
    """
    from truetape.quality.checks import check_feed, check_served
    from truetape.quality.report import refusal

    settings = current_settings()
    reports = [
        check_served(settings, calendars.parse_session(venue, day), print, run)
        for venue, day in sessions
    ]
    records = left = 0
    for _ in range(MAX_FEED_CHECKS):
        reports.append(check_feed(settings, print, run))
        records, left = records + reports[-1].rows["records"], reports[-1].rows["left"]
        if not left or not reports[-1].is_open:
            break
    if refusals := [text for report in reports if (text := refusal(settings.home, report))]:
        raise GateClosedError("; ".join(refusals))
    return {"reports": [report.run for report in reports], "records": records, "left": left}
