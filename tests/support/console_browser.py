"""What the browser tests of the console share: its data, what a browser logs, how a chart opens."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from support.console_app import may_start, served
from support.drifting import DAY, MINUTE, publish_and_record
from support.drifting import HOUR as HOUR_NS
from support.serving import bar, indicators
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.console.app import create
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.quality import report as reports
from truetape.quality.dag_runs import DagRun, record_report
from truetape.quality.report import Report, ReportKind
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity
from truetape.serving.backends import open_store
from truetape.serving.indicator_table import table_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_QUOTED = quote(HOSTILE)
RUN = DagRun("batch_recompute_xnys", "manual__2024-11-22T22:00:00+00:00")
MARKET = f"market?symbol=IBM&session={FRIDAY.date}"
REPORT = "20241122T220000000000-abcdef"
NIGHT = "NIGHT"
THURSDAY_CLOSE = LAKE_NOON - 24 * HOUR_NS + 4 * HOUR_NS
"""Four hours after noon. `NIGHT` trades in the last minutes before, and after the next open."""
FRIDAY_OPEN = LAKE_NOON - 5 * HOUR_NS // 2


def minutes() -> list[int]:
    """Return the starts of two minutes before a night, and of two after it."""
    starts = (THURSDAY_CLOSE - 2 * MINUTE, FRIDAY_OPEN)
    return [start + number * MINUTE for start in starts for number in (0, 1)]


def report_of(symbol: str, run: str) -> Report:
    """Return the report of a closed gate, with an example row of a symbol."""
    broken = RuleResult(
        "trades", "T5", Severity.GATE, "sizes are above 0", "trades", False, rows=10, unexpected=1,
        examples=({"symbol": symbol},),
    )  # fmt: skip
    passed = replace(broken, rule="T4", meaning="prices are above 0", passed=True, examples=())
    return Report(run, ReportKind.GATE, "XNYS", FRIDAY.date, (broken, passed), {"trades": 1})


@contextmanager
def served_console(settings: Settings) -> Iterator[str]:
    """Yield the address of a console that has a session published with drift, and a closed gate."""
    lake_session(DAY).write(settings.lake)
    with closing(open_store(settings)) as store:
        serve(store, provisional_bars(counted_trades(DAY)))
        publish_and_record(settings.lake, store)
        store.write(Resolution.MINUTE, [bar(symbol=HOSTILE)])
        store.write(
            Resolution.MINUTE,
            [bar(symbol="LIVE", layer="speed", final=False, rev=0), bar(symbol="LIVE", start_ns=1)],
        )
        nights = [bar(symbol=NIGHT, start_ns=start, seq=seq) for seq, start in enumerate(minutes())]
        store.write(Resolution.MINUTE, nights)
        store.write_indicators(
            Resolution.MINUTE,
            table_of(
                indicators(start, symbol=NIGHT, sma_20=100.25, rsi_14=55.0, macd=0.5)
                for start in minutes()
            ),
        )
    for report in [report_of(HOSTILE, REPORT), report_of("SOLO", f"{REPORT[:-1]}0")]:
        reports.write(settings.home, report)
        record_report(settings.home, RUN, report)
    root = FastAPI()
    root.mount("/truetape", create(lambda: settings, lambda: None, may_start))
    with served(root) as address:
        yield f"{address}truetape/"


@dataclass
class BrowserLog:
    """What a page logged in the browser's console, and which hosts it contacted."""

    messages: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


IN_BOTH_SCHEMES = pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
"""For what colours decide. Other tests use the dark scheme in the long tier only."""


def open_chart(page: "Page", address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)
