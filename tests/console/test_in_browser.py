"""The console in a real browser: pages draw, contact no other host, and are accessible."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI

from support.drifting import DAY, MINUTE, publish_and_record
from support.drifting import HOUR as HOUR_NS
from support.serving import bar, indicators
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from support.speed_reference import counted_trades, provisional_bars, serve
from support.wait import until
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
from truetape.stack.server import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

SERIOUS = ("serious", "critical")
HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_QUOTED = quote(HOSTILE)
RUN = DagRun("batch_recompute_xnys", "manual__2024-11-22T22:00:00+00:00")
MARKET = f"market?symbol=IBM&session={FRIDAY.date}"
DRIFT = f"drift/session?venue=XNYS&session={FRIDAY.date}"
REPORT = "20241122T220000000000-abcdef"
PAGES = {
    "overview": "",
    "market": "market",
    "market-session": MARKET,
    "bar": f"market/bar?symbol=IBM&start_ns={LAKE_NOON}",
    "drift": "drift",
    "drift-session": DRIFT,
    "quality": "quality",
    "report": f"quality/report?venue=XNYS&session={FRIDAY.date}&run={REPORT}",
    "run": f"quality/run?{urlencode({'dag': RUN.dag, 'run': RUN.run})}",
    "run-without-reports": f"quality/run?dag={HOSTILE_QUOTED}&run={HOSTILE_QUOTED}",
    "backfill": "backfill",
    "no-bar": f"market/bar?symbol={HOSTILE_QUOTED}&start_ns=1",
    "no-page": "nowhere",
    "misread": f"market?resolution={HOSTILE_QUOTED}",
    "no-chart": f"market?symbol=IBM&venue={HOSTILE_QUOTED[:16]}",
}
"""Every page, and pages in error states, by the name of the screenshot."""
REJECTED = {"no-bar", "no-page", "misread", "no-chart"}
"""On these pages the browser logs that the server rejected a request; it may log nothing else."""
PICTURES = Path(__file__).resolve().parents[2] / "out" / "screenshots"
"""Screenshots of each page in this test run; Git ignores them."""
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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the console under test. No Airflow, no Kafka."""
    return Settings.from_env(
        {
            "TRUETAPE_HOME": str(tmp_path_factory.mktemp("console")),
            "TRUETAPE_STORE": "embedded",
            "TRUETAPE_BUCKET_SET": "history",
            "TRUETAPE_KAFKA": "127.0.0.1:1",
        }
    )


@pytest.fixture(scope="module")
def console(home: Settings) -> Iterator[str]:
    """The address of a console that has a session published with drift, and a closed gate."""
    settings = home
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
    root, port = FastAPI(), free_port()
    root.mount("/truetape", create(lambda: settings, lambda: None))
    server = uvicorn.Server(uvicorn.Config(root, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, 30)
    yield f"http://127.0.0.1:{port}/truetape/"
    server.should_exit = True
    thread.join()


@dataclass
class BrowserLog:
    """What a page logged in the browser's console, and which hosts it contacted."""

    messages: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def log() -> BrowserLog:
    return BrowserLog()


IN_BOTH_SCHEMES = pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
"""For what colours decide. Other tests use the dark scheme in the long tier only."""


@pytest.fixture(params=["light", pytest.param("dark", marks=pytest.mark.long)])
def page(request: pytest.FixtureRequest, browser: "Browser", log: BrowserLog) -> "Iterator[Page]":
    context = browser.new_context(color_scheme=request.param)
    page = context.new_page()
    page.on(
        "console",
        lambda line: log.messages.append(line.text) if line.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: log.messages.append(str(error)))
    page.on("dialog", lambda dialog: (log.messages.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: log.hosts.add(request.url.split("/")[2]))
    yield page
    context.close()


def open_chart(page: "Page", address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)


def wait_until_loaded(page: "Page") -> None:
    """Wait until the chart of a page is drawn or rejected."""
    if page.locator("#chart").count():
        page.wait_for_selector("#chart[data-drawn=yes], #state[role=alert]", timeout=30_000)


@IN_BOTH_SCHEMES
@pytest.mark.parametrize("name", PAGES)
def test_a_page_logs_no_error_contacts_no_other_host_and_is_accessible(
    console: str, page: "Page", log: BrowserLog, name: str
) -> None:
    """Error pages, too. Saves a screenshot."""
    page.goto(console + PAGES[name])
    wait_until_loaded(page)
    scheme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else ""
    page.screenshot(path=PICTURES / f"{name}{scheme and '-'}{scheme}.png", full_page=True)

    violations = Axe().run(page).response["violations"]

    assert [violation["id"] for violation in violations if violation["impact"] in SERIOUS] == []
    refusals = [text for text in log.messages if text.startswith("Failed to load resource")]
    assert log.messages == refusals
    assert bool(refusals) is (name in REJECTED)
    assert log.hosts == {console.split("/")[2]}


@pytest.mark.parametrize("name", PAGES)
def test_every_clickable_control_can_be_reached_by_keyboard(
    console: str, page: "Page", name: str
) -> None:
    """Tab reaches each control in page order, and the focused control has an outline."""
    page.goto(console + PAGES[name])
    wait_until_loaded(page)
    controls = "main a[href], main button, main input, main select, main [tabindex='0'], nav a"
    wanted = page.locator(controls).count()
    page.evaluate(
        f"document.querySelectorAll(\"{controls}\").forEach(control => control.dataset.due = '')"
    )

    for _ in range(4 * wanted + 10):
        page.keyboard.press("Tab")
        page.evaluate("delete document.activeElement.dataset.due")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
        if not page.locator("[data-due]").count():
            break

    assert [control.inner_text() for control in page.locator("[data-due]").all()] == []
    assert wanted >= 5


def test_a_click_on_a_candle_opens_its_trades(console: str, page: "Page") -> None:
    open_chart(page, console + MARKET)
    assert page.inner_text("#state").startswith("3 final and 0 provisional")

    page.locator("#chart .boxlayer .trace path, #chart .boxes path").first.hover(force=True)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/market/bar?**", timeout=15_000)

    assert "Trades that made it" in page.inner_text("main")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("report", "td"),
        ("run-without-reports", "dd"),
        ("no-bar", "[role=alert]"),
        ("misread", "[role=alert]"),
    ],
)
def test_hostile_input_is_shown_as_text_on_every_page(
    console: str, page: "Page", log: BrowserLog, name: str, place: str
) -> None:
    """Symbols in rows, ids of DAGs and runs, and texts of errors; no page shows payloads."""
    page.goto(console + PAGES[name])

    texts = page.locator(place).all_inner_texts()
    assert any(HOSTILE in text or name == "misread" for text in texts)
    assert page.locator("main img").count() == 0
    assert [text for text in log.messages if not text.startswith("Failed to load")] == []


def test_a_hostile_symbol_in_the_form_is_shown_and_runs_nothing(
    console: str, page: "Page", log: BrowserLog
) -> None:
    page.goto(console + "market")
    page.fill("input[name=symbol]", HOSTILE)
    page.click("button[type=submit]")
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert page.inner_text("h1") == HOSTILE
    assert page.locator("main img").count() == 0
    assert log.messages == []


@IN_BOTH_SCHEMES
def test_provisional_bars_are_drawn_hollow_and_pale(console: str, page: "Page") -> None:
    open_chart(page, console + "market?symbol=LIVE")
    assert "1 final and 1 provisional" in page.inner_text("#state")

    looks = page.evaluate(
        """() => [...document.querySelectorAll("#chart .trace.boxes path.box")].map(path => {
            const style = getComputedStyle(path);
            return [style.fillOpacity, getComputedStyle(path.parentNode).opacity];
        })"""
    )

    (filled, full), provisional = looks
    assert (float(filled) > 0, full) == (True, "1")
    assert provisional == ["0", "0.4"]


def test_a_new_bar_appears_in_the_chart_by_itself_and_the_zoom_stays(
    console: str, page: "Page", home: Settings
) -> None:
    """Without a reload, and without changing the viewer's zoom."""
    open_chart(page, console + "market?symbol=LIVE")
    before = page.inner_text("#state")
    page.evaluate("window.marker = 1; Plotly.relayout('chart', {'yaxis.range': [99, 102]})")
    later = int(page.locator("#chart").evaluate("chart => chart.data[1].customdata[0]")) + MINUTE
    more = [
        bar(symbol="LIVE", start_ns=later + number * MINUTE, layer="speed", final=False, rev=0)
        for number in range(3)
    ]

    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, more)
    try:
        until(lambda: "4 provisional" in page.inner_text("#state"), 20)
        after = page.evaluate("[window.marker, chart.layout.yaxis.range]")
    finally:
        with closing(open_store(home)) as store:
            store.write(Resolution.MINUTE, [replace(bar, void=True) for bar in more])

    assert before.startswith("1 final and 1 provisional")
    assert after == [1, [99, 102]]


def test_the_overview_refreshes_and_reports_a_failed_refresh(
    console: str, page: "Page", log: BrowserLog
) -> None:
    page.goto(console)
    page.evaluate("document.querySelector('main h1').textContent = 'old'")
    page.click("#refresh")
    until(lambda: page.inner_text("main h1") == "Is what I see complete?", 10)
    assert page.evaluate("document.activeElement.id") == "refresh"
    assert log.messages == []

    page.route(console, lambda route: route.abort())
    page.click("#refresh")
    until(lambda: "Could not refresh" in page.inner_text("#state"), 10)

    assert page.inner_text("main h1") == "Is what I see complete?"


def test_a_night_leaves_no_gap_between_two_sessions(console: str, page: "Page") -> None:
    open_chart(page, console + f"market?symbol={NIGHT}")

    places = page.evaluate(
        """() => chart.data.find(trace => trace.name === "final").x
            .map(start => chart._fullLayout.xaxis.d2p(start))"""
    )

    steps = [after - before for before, after in pairwise(places)]
    assert len(steps) == 3
    assert steps == pytest.approx([steps[0]] * 3, abs=0.5)
    days = " ".join(page.locator("#chart .x2tick").all_text_contents())
    assert "2024-11-21" in days
    assert "2024-11-22" in days


def test_the_time_labels_below_a_drift_chart_are_not_covered(console: str, page: "Page") -> None:
    open_chart(page, console + DRIFT)

    legend = page.locator("#chart .legend .bg").bounding_box()
    labels = page.locator("#chart .x2tick text")
    boxes = [label.bounding_box() for label in labels.all()]

    assert labels.all_text_contents() == ["17:00"]
    assert legend
    assert all(box and box["y"] + box["height"] <= legend["y"] for box in boxes)


@IN_BOTH_SCHEMES
def test_changed_bars_have_a_mark_with_their_causes(console: str, page: "Page") -> None:
    """IBM had a cancel, a late trade and a correction in a minute each; KO had none."""
    open_chart(page, console + MARKET)

    marks = "chart => chart.data.filter(trace => trace.name.startsWith('changed'))"
    (trace,) = page.locator("#chart").evaluate(marks)
    assert trace["text"] == ["cancel", "late", "correction"]
    assert page.locator("#chart .scatterlayer .point").count() == 3
    open_chart(page, console + f"market?symbol=KO&session={FRIDAY.date}")
    assert page.locator("#chart").evaluate(marks) == []


def test_an_indicator_is_drawn_after_a_click_in_the_legend(console: str, page: "Page") -> None:
    open_chart(page, console + f"market?symbol={NIGHT}")
    lines = page.locator("#chart .scatterlayer path.js-line")
    before = lines.count()

    page.locator("#chart .legend .traces", has_text="sma_20").locator(".legendtoggle").click()

    until(lambda: lines.count() == before + 1, 10)


@pytest.mark.parametrize(("below", "name"), [("rsi", "RSI"), ("macd", "MACD")])
def test_an_oscillator_is_chosen_in_the_form_and_drawn_below(
    console: str, page: "Page", below: str, name: str
) -> None:
    open_chart(page, console + f"market?symbol={NIGHT}")
    assert page.locator("#chart .y3title").count() == 0
    page.select_option("select[name=below]", below)

    page.click("button[type=submit]")

    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)
    assert page.locator("#chart .y3title").text_content() == name
    assert page.locator("#chart .x3y3 path.js-line").count() == 1
    assert page.input_value("select[name=below]") == below


def test_the_market_form_can_be_reached_by_keyboard_alone(console: str, page: "Page") -> None:
    page.goto(console + "market")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.name || document.activeElement.innerText")
        )

    assert names[:2] == ["Overview", "Market"]
    assert {"symbol", "resolution", "session"} <= set(names)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_a_phone(console: str, browser: "Browser", name: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(console + PAGES[name])
    wait_until_loaded(page)
    page.screenshot(path=PICTURES / f"{name}-phone.png", full_page=True)

    width = page.evaluate("document.documentElement.scrollWidth")

    context.close()
    assert width <= 360
