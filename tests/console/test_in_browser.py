"""The console in a real browser: pages draw, ask nobody else, and can be used by everybody."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI

from support.drifting import DAY, publish_and_note
from support.serving import bar
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from support.speed_toy import heard, provisional_bars, serve
from support.wait import until
from truetape.console.app import create
from truetape.local.server import free_port
from truetape.market.resolution import Resolution
from truetape.serving.store import open_store
from truetape.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

SERIOUS = ("serious", "critical")
HOSTILE = "<img src=x onerror=alert(1)>"
MARKET = f"market?symbol=IBM&session={FRIDAY.date}"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console with a session published with drift. No Airflow, no Kafka."""
    settings = Settings.from_env(
        {
            "TRUETAPE_HOME": str(tmp_path_factory.mktemp("console")),
            "TRUETAPE_STORE": "embedded",
            "TRUETAPE_BUCKET_SET": "history",
            "TRUETAPE_KAFKA": "127.0.0.1:1",
        }
    )
    lake_session(DAY).write(settings.lake)
    with closing(open_store(settings)) as store:
        serve(store, provisional_bars(heard(DAY)))
        publish_and_note(settings.lake, store)
        store.write(Resolution.MINUTE, [bar(symbol=HOSTILE)])
        store.write(
            Resolution.MINUTE,
            [bar(symbol="LIVE", layer="speed", final=False, rev=0), bar(symbol="LIVE", start_ns=1)],
        )
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


def test_pages_have_no_error_ask_nobody_else_and_are_accessible(
    console: str, page: "Page", seen: Seen
) -> None:
    findings = []
    drift = f"drift/session?venue=XNYS&session={FRIDAY.date}"
    bar_page = f"market/bar?symbol=IBM&start_ns={LAKE_NOON}"
    for path in ("", "market", MARKET, bar_page, "drift", drift, "quality", "backfill"):
        page.goto(console + path)
        if path == drift or (path.startswith("market") and path != bar_page):
            page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)
        results = Axe().run(page).response["violations"]
        findings += [(path, one["id"]) for one in results if one["impact"] in SERIOUS]

    assert findings == []
    assert seen.messages == []
    assert seen.hosts == {console.split("/")[2]}


def test_a_click_on_a_candle_leads_to_its_trades(console: str, page: "Page") -> None:
    drawn(page, console + MARKET)
    assert page.inner_text("#state").startswith("3 final and 0 provisional")

    page.locator("#chart .boxlayer .trace path, #chart .boxes path").first.hover(force=True)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/market/bar?**", timeout=15_000)

    assert "Trades that made it" in page.inner_text("main")


def test_a_hostile_symbol_is_shown_and_does_nothing(console: str, page: "Page", seen: Seen) -> None:
    page.goto(console + "market")
    page.fill("input[name=symbol]", HOSTILE)
    page.click("button[type=submit]")
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert page.inner_text("h1") == HOSTILE
    assert seen.messages == []


def test_provisional_bars_are_drawn_apart_and_looked_at_again(console: str, page: "Page") -> None:
    drawn(page, console + "market?symbol=LIVE")
    assert "1 final and 1 provisional" in page.inner_text("#state")

    with page.expect_response("**/market/chart?**", timeout=10_000) as again:
        pass

    assert again.value.ok


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


def test_on_a_phone_nothing_runs_over_the_edge(console: str, browser: "Browser") -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    for path in ("", MARKET, f"market/bar?symbol=IBM&start_ns={LAKE_NOON}"):
        page.goto(console + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, (path, width)
    context.close()
