"""A home with a published session: its bars have drift, and its gate has a report."""

from contextlib import closing
from pathlib import Path

from support.build import NOON
from support.drifting import DAY, publish_and_record
from support.session_lake import FRIDAY, lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.host.settings import Settings
from truetape.quality import report as reports
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity
from truetape.serving.backends import open_store

DATE = str(FRIDAY.date)
ENVIRONMENT = {
    "TRUETAPE_STORE": "embedded",
    "TRUETAPE_BUCKET_SET": "history",
    "TRUETAPE_KAFKA": "127.0.0.1:1",
}
"""Settings of such a home, beside TRUETAPE_HOME: no server answers."""


def make_published_home(home: Path) -> Settings:
    """Write lake, store and report of the session `DATE`; return the home's settings."""
    settings = Settings.from_env({**ENVIRONMENT, "TRUETAPE_HOME": str(home)})
    lake_session(DAY).write(settings.lake)
    with closing(open_store(settings)) as store:
        serve(store, provisional_bars(counted_trades(DAY)))
        publish_and_record(settings.lake, store)
    rule = RuleResult("trades", "T5", Severity.GATE, "sizes", "trades", True, rows=1, unexpected=0)
    reports.write(
        home,
        reports.Report(
            reports.new_run(NOON), reports.ReportKind.GATE, "XNYS", FRIDAY.date, (rule,), {}
        ),
    )
    return settings
