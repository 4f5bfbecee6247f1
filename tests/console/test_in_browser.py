"""The console in a real browser: pages draw, ask nobody else, and can be used by everybody."""

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
from support.speed_toy import heard, provisional_bars, serve
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
from truetape.stack.server import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

SERIOUS = ("serious", "critical")
HOSTILE = "<img src=x onerror=alert(1)>"
SPELT = quote(HOSTILE)
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
    "run-without-reports": f"quality/run?dag={SPELT}&run={SPELT}",
    "backfill": "backfill",
    "no-bar": f"market/bar?symbol={SPELT}&start_ns=1",
    "no-page": "nowhere",
    "misread": f"market?resolution={SPELT}",
    "no-chart": f"market?symbol=IBM&venue={SPELT[:16]}",
}
"""Every page, and pages in states of error, by the name of its picture."""
REFUSED = {"no-bar", "no-page", "misread", "no-chart"}
"""Of these a browser says itself that the server refused; nothing else may be said."""
PICTURES = Path(__file__).resolve().parents[2] / "out" / "screenshots"
"""Pictures of each page, as this run has seen it; Git ignores them."""
NIGHT = "NIGHT"
THURSDAY_CLOSE = LAKE_NOON - 24 * HOUR_NS + 4 * HOUR_NS
"""Four hours after noon; `NIGHT` trades its last minutes, and the first of the next morning."""
FRIDAY_OPEN = LAKE_NOON - 5 * HOUR_NS // 2


def minutes() -> list[int]:
    """The starts of two minutes before a night, and of two behind it."""
    starts = (THURSDAY_CLOSE - 2 * MINUTE, FRIDAY_OPEN)
    return [start + number * MINUTE for start in starts for number in (0, 1)]


def report_of(symbol: str, run: str) -> Report:
    """A closed gate, with a row of a symbol that shows why."""
    broken = RuleResult(
        "trades", "T5", Severity.GATE, "sizes are above 0", "trades", False, rows=10, unexpected=1,
        examples=({"symbol": symbol},),
    )  # fmt: skip
    kept = replace(broken, rule="T4", meaning="prices are above 0", passed=True, examples=())
    return Report(run, ReportKind.GATE, "XNYS", FRIDAY.date, (broken, kept), {"trades": 1})


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
    """The address of a console with a session published with drift, and a closed gate."""
    settings = home
    lake_session(DAY).write(settings.lake)
    with closing(open_store(settings)) as store:
        serve(store, provisional_bars(heard(DAY)))
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
            [
                indicators(start, symbol=NIGHT, sma_20=100.25, rsi_14=55.0, macd=0.5)
                for start in minutes()
            ],
        )
    made = [report_of(HOSTILE, REPORT), report_of("SOLO", f"{REPORT[:-1]}0")]
    for one in made:
        reports.write(settings.home, one)
        record_report(settings.home, RUN, one)
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
class Seen:
    """What a page told its console, and whom it asked."""

    messages: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: "Browser", seen: Seen) -> "Iterator[Page]":
    context = browser.new_context(color_scheme=request.param)
    page = context.new_page()
    page.on(
        "console",
        lambda told: seen.messages.append(told.text) if told.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.on("dialog", lambda dialog: (seen.messages.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: seen.hosts.add(asked.url.split("/")[2]))
    yield page
    context.close()


def drawn(page: "Page", address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)


def settled(page: "Page") -> None:
    """Wait until what a page loads by itself is there, or refused."""
    if page.locator("#chart").count():
        page.wait_for_selector("#chart[data-drawn=yes], #state[role=alert]", timeout=30_000)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_error_asks_nobody_else_and_is_accessible(
    console: str, page: "Page", seen: Seen, name: str
) -> None:
    """Also a page that says what could not be done. Leaves a picture."""
    page.goto(console + PAGES[name])
    settled(page)
    scheme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else ""
    page.screenshot(path=PICTURES / f"{name}{scheme and '-'}{scheme}.png", full_page=True)

    violations = Axe().run(page).response["violations"]

    assert [one["id"] for one in violations if one["impact"] in SERIOUS] == []
    refusals = [told for told in seen.messages if told.startswith("Failed to load resource")]
    assert seen.messages == refusals
    assert bool(refusals) is (name in REFUSED)
    assert seen.hosts == {console.split("/")[2]}


@pytest.mark.parametrize("name", PAGES)
def test_whatever_can_be_clicked_can_be_reached_by_keys(
    console: str, page: "Page", name: str
) -> None:
    """Each control, in the order in which it stands, with a mark around the one that has focus."""
    page.goto(console + PAGES[name])
    settled(page)
    controls = "main a[href], main button, main input, main select, main [tabindex='0'], nav a"
    wanted = page.locator(controls).count()
    page.evaluate(f"document.querySelectorAll(\"{controls}\").forEach(one => one.dataset.due = '')")

    for _ in range(4 * wanted + 10):
        page.keyboard.press("Tab")
        page.evaluate("delete document.activeElement.dataset.due")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
        if not page.locator("[data-due]").count():
            break

    assert [one.inner_text() for one in page.locator("[data-due]").all()] == []
    assert wanted >= 5


def test_a_click_on_a_candle_leads_to_its_trades(console: str, page: "Page") -> None:
    drawn(page, console + MARKET)
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
def test_what_is_hostile_is_text_on_every_page(
    console: str, page: "Page", seen: Seen, name: str, place: str
) -> None:
    """Symbols in rows, ids of DAGs and runs, and what an error repeats; pages list no payloads."""
    page.goto(console + PAGES[name])

    texts = page.locator(place).all_inner_texts()
    assert any(HOSTILE in text or name == "misread" for text in texts)
    assert page.locator("main img").count() == 0
    assert [told for told in seen.messages if not told.startswith("Failed to load")] == []


def test_a_hostile_symbol_is_shown_and_does_nothing(console: str, page: "Page", seen: Seen) -> None:
    page.goto(console + "market")
    page.fill("input[name=symbol]", HOSTILE)
    page.click("button[type=submit]")
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert page.inner_text("h1") == HOSTILE
    assert page.locator("main img").count() == 0
    assert seen.messages == []


def test_provisional_bars_are_drawn_hollow_and_pale(console: str, page: "Page") -> None:
    drawn(page, console + "market?symbol=LIVE")
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


def test_a_new_bar_comes_to_the_chart_by_itself_and_the_view_stays(
    console: str, page: "Page", home: Settings
) -> None:
    """Without a reload, and without undoing what the viewer has zoomed to."""
    drawn(page, console + "market?symbol=LIVE")
    before = page.inner_text("#state")
    page.evaluate("window.kept = 1; Plotly.relayout('chart', {'yaxis.range': [99, 102]})")
    later = int(page.locator("#chart").evaluate("chart => chart.data[1].customdata[0]")) + MINUTE
    more = [
        bar(symbol="LIVE", start_ns=later + number * MINUTE, layer="speed", final=False, rev=0)
        for number in range(3)
    ]

    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, more)
    try:
        until(lambda: "4 provisional" in page.inner_text("#state"), 20)
        kept = page.evaluate("[window.kept, chart.layout.yaxis.range]")
    finally:
        with closing(open_store(home)) as store:
            store.write(Resolution.MINUTE, [replace(one, void=True) for one in more])

    assert before.startswith("1 final and 1 provisional")
    assert kept == [1, [99, 102]]


def test_the_overview_looks_again_and_says_when_it_cannot(
    console: str, page: "Page", seen: Seen
) -> None:
    page.goto(console)
    page.evaluate("document.querySelector('main h1').textContent = 'old'")
    page.click("#refresh")
    until(lambda: page.inner_text("main h1") == "Is what I see complete?", 10)
    assert page.evaluate("document.activeElement.id") == "refresh"
    assert seen.messages == []

    page.route(console, lambda route: route.abort())
    page.click("#refresh")
    until(lambda: "Could not look again" in page.inner_text("#state"), 10)

    assert page.inner_text("main h1") == "Is what I see complete?"


def test_a_night_leaves_no_gap_between_two_sessions(console: str, page: "Page") -> None:
    drawn(page, console + f"market?symbol={NIGHT}")

    places = page.evaluate(
        """() => chart.data.find(one => one.name === "final").x
            .map(start => chart._fullLayout.xaxis.d2p(start))"""
    )

    steps = [after - before for before, after in pairwise(places)]
    assert len(steps) == 3
    assert steps == pytest.approx([steps[0]] * 3, abs=0.5)
    days = " ".join(page.locator("#chart .x2tick").all_text_contents())
    assert "2024-11-21" in days
    assert "2024-11-22" in days


def test_the_labels_below_a_drift_chart_are_times_that_nothing_covers(
    console: str, page: "Page"
) -> None:
    drawn(page, console + DRIFT)

    legend = page.locator("#chart .legend .bg").bounding_box()
    labels = page.locator("#chart .x2tick text")
    boxes = [one.bounding_box() for one in labels.all()]

    assert labels.all_text_contents() == ["17:00"]
    assert legend
    assert all(box and box["y"] + box["height"] <= legend["y"] for box in boxes)


def test_changed_bars_carry_a_mark_with_their_causes(console: str, page: "Page") -> None:
    """IBM had a cancel, a late print and a correction in a minute each; KO had none."""
    drawn(page, console + MARKET)

    marks = "chart => chart.data.filter(one => one.name.startsWith('changed'))"
    (found,) = page.locator("#chart").evaluate(marks)
    assert found["text"] == ["cancel", "late", "correction"]
    assert page.locator("#chart .scatterlayer .point").count() == 3
    drawn(page, console + f"market?symbol=KO&session={FRIDAY.date}")
    assert page.locator("#chart").evaluate(marks) == []


def test_an_indicator_is_drawn_when_it_is_asked_for(console: str, page: "Page") -> None:
    drawn(page, console + f"market?symbol={NIGHT}")
    lines = page.locator("#chart .scatterlayer path.js-line")
    before = lines.count()

    page.locator("#chart .legend .traces", has_text="sma_20").locator(".legendtoggle").click()

    until(lambda: lines.count() == before + 1, 10)


@pytest.mark.parametrize(("below", "name"), [("rsi", "RSI"), ("macd", "MACD")])
def test_an_oscillator_is_chosen_in_the_form_and_drawn_below(
    console: str, page: "Page", below: str, name: str
) -> None:
    drawn(page, console + f"market?symbol={NIGHT}")
    assert page.locator("#chart .y3title").count() == 0
    page.select_option("select[name=below]", below)

    page.click("button[type=submit]")

    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)
    assert page.locator("#chart .y3title").text_content() == name
    assert page.locator("#chart .x3y3 path.js-line").count() == 1
    assert page.input_value("select[name=below]") == below


def test_keys_alone_reach_everything(console: str, page: "Page") -> None:
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
def test_on_a_phone_nothing_runs_over_the_edge(console: str, browser: "Browser", name: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(console + PAGES[name])
    settled(page)
    page.screenshot(path=PICTURES / f"{name}-phone.png", full_page=True)

    width = page.evaluate("document.documentElement.scrollWidth")

    context.close()
    assert width <= 360
