"""What the task of the DAG data_quality runs: one look at all that is new since the last one."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from truetape.host import calendars
from truetape.host.errors import GateClosedError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.quality.dag_runs import DagRun

MAX_LOOKS = 25
"""Most looks of one run at the feeds, of 400,000 records each; the next run goes on behind them."""


def published(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return venue and date of the sessions that events of the asset `bars` tell of, each once."""
    return list(dict.fromkeys((event["venue"], event["session"]) for event in events))


def check(sessions: Iterable[tuple[str, str]], of: DagRun) -> dict[str, Any]:
    """Check what is served of sessions, then what the archive brought in since the last look.

    Every look leaves its report and metrics, and the report is noted as one of the run `of`.
    GateClosedError names the rules that do not hold: of all sessions, and of the first look at the
    feeds that finds one; the next run looks behind it.
    """
    from truetape.quality.checks import check_feed, check_served
    from truetape.quality.report import refusal

    settings = Settings.from_env()
    known = venues()
    found = [
        check_served(settings, calendars.session(known[venue], date.fromisoformat(day)), print, of)
        for venue, day in sessions
    ]
    records = left = 0
    for _ in range(MAX_LOOKS):
        found.append(check_feed(settings, print, of))
        records, left = records + found[-1].rows["records"], found[-1].rows["left"]
        if not left or not found[-1].is_open:
            break
    if broken := [text for report in found if (text := refusal(settings.home, report))]:
        raise GateClosedError("; ".join(broken))
    return {"reports": [report.run for report in found], "records": records, "left": left}
