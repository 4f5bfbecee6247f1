"""The console in a real browser: pages draw, contact no other host, and are accessible."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe

from support.console_browser import (
    HOSTILE,
    HOSTILE_QUOTED,
    IN_BOTH_SCHEMES,
    MARKET,
    NIGHT,
    REPORT,
    RUN,
    BrowserLog,
)
from support.facts import with_dag
from support.session_lake import FRIDAY
from support.session_lake import NOON as LAKE_NOON
from support.wait import until
from truetape.console import app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

SERIOUS = ("serious", "critical")
DRIFT = f"drift/session?venue=XNYS&session={FRIDAY.date}"
PAGES = {
    "overview": "",
    "market": "market",
    "market-session": MARKET,
    "market-holiday": "market?symbol=IBM&session=2024-11-28",
    "market-provisional": "market?symbol=LIVE&time=exchange",
    "market-as-of": f"{MARKET}&as_of=2024-11-22T17:03:10",
    "market-indicators": f"market?symbol={NIGHT}&show=session_vwap,sma_20,rsi,macd",
    "market-unknown": "market?symbol=NOPE",
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
REJECTED = {"market-unknown", "no-bar", "no-page", "misread", "no-chart"}
"""On these pages the browser logs that the server rejected a request; it may log nothing else."""
PICTURES = Path(__file__).resolve().parents[2] / "out" / "screenshots"
"""Screenshots of each page in this test run; Git ignores them."""


def wait_until_loaded(page: "Page") -> None:
    """Wait until the chart of a page is drawn or rejected."""
    if page.locator("#chart").count():
        page.wait_for_selector("#chart[data-drawn]", state="attached", timeout=30_000)


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
    wanted = page.evaluate(
        f"""() => {{
            const seen = [...document.querySelectorAll("{controls}")].filter(
                control => control.checkVisibility());
            seen.forEach(control => control.dataset.due = '');
            return seen.length;
        }}"""
    )
    wanted = page.locator("[data-due]").count()

    for _ in range(4 * wanted + 10):
        page.keyboard.press("Tab")
        page.evaluate("delete document.activeElement.dataset.due")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
        if not page.locator("[data-due]").count():
            break

    assert [control.inner_text() for control in page.locator("[data-due]").all()] == []
    assert wanted >= 5


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


AIRFLOW_FRAME = (
    '<iframe src="/truetape/overview" sandbox="allow-scripts allow-same-origin allow-forms '
    'allow-downloads" style="width: 100%; height: 900px"></iframe>'
)
"""The frame that Airflow shows a page of the console in: it may not navigate the window."""


def test_a_link_to_airflow_leaves_its_sandboxed_frame(
    console: str, page: "Page", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "read_facts", lambda *_: with_dag("data_quality", is_paused=True))
    page.route(
        "**/outer", lambda route: route.fulfill(body=AIRFLOW_FRAME, content_type="text/html")
    )
    page.route("**/dags/data_quality", lambda route: route.fulfill(body="the DAG"))
    page.goto(console.replace("/truetape/", "/outer"))

    page.frame_locator("iframe").get_by_role("link", name="DAG").click()

    page.wait_for_url("**/dags/data_quality")


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


def test_the_parts_of_a_drift_chart_are_drawn_in_their_colours(console: str, page: "Page") -> None:
    page.goto(console + DRIFT)

    parts = page.locator("svg.drift-chart rect:has(title)")
    fills = set(parts.evaluate_all("all => all.map(part => getComputedStyle(part).fill)"))

    assert parts.count() >= 3
    assert "rgb(59, 125, 216)" in fills
    assert page.locator("svg.drift-chart text", has_text="17:00").count() == 1


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
