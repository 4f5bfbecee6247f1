"""Pages of the console inside a page like Airflow's: its theme, and links that lead out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from support.console_app import may_start, served
from truetape.console.app import create
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

SANDBOX = "allow-scripts allow-same-origin allow-forms allow-downloads"
"""The rights that Airflow 3.3.2 gives to the frame of a plugin."""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 25, 31)"


@pytest.fixture
def address(here: Settings) -> Iterator[str]:
    root = FastAPI()

    @root.get("/plugin/truetape", response_class=HTMLResponse)
    def around(theme: str = "") -> str:
        frame = f'<iframe src="/truetape/runbook" sandbox="{SANDBOX}"></iframe>'
        return f'<!doctype html><html class="{theme}"><body>{frame}</body></html>'

    @root.get("/dags/maintenance", response_class=HTMLResponse)
    def dag() -> str:
        return "<h1>maintenance</h1>"

    root.mount("/truetape", create(lambda: here, lambda: None, may_start))
    with served(root) as address:
        yield address


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: "Browser") -> "Iterator[Page]":
    context = browser.new_context(color_scheme=getattr(request, "param", "light"))
    yield context.new_page()
    context.close()


def colour(page: "Page", *, framed: bool = True) -> str:
    """Return the background of the console's page."""
    frame = page.frames[-1] if framed else page.main_frame
    frame.wait_for_selector("h1")
    return str(frame.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
@pytest.mark.parametrize(("theme", "expected"), [("light", LIGHT), ("dark", DARK)])
def test_a_framed_page_has_airflow_s_theme_whatever_the_system_has(
    address: str, page: "Page", theme: str, expected: str
) -> None:
    page.goto(f"{address}plugin/truetape?theme={theme}")

    assert colour(page) == expected


def test_a_page_follows_when_somebody_changes_airflow_s_theme(address: str, page: "Page") -> None:
    page.goto(f"{address}plugin/truetape?theme=light")
    assert colour(page) == LIGHT

    page.evaluate("document.documentElement.className = 'dark'")

    page.frames[-1].wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert colour(page) == DARK


@pytest.mark.parametrize(
    ("page", "stored", "expected"),
    [("light", "dark", DARK), ("dark", "light", LIGHT), ("dark", "system", DARK),
     ("dark", None, DARK), ("light", None, LIGHT)],
    indirect=["page"],
)  # fmt: skip
def test_a_page_of_its_own_has_the_theme_chosen_in_airflow_else_the_system_s(
    address: str, page: "Page", stored: str | None, expected: str
) -> None:
    page.goto(f"{address}truetape/runbook")
    if stored:
        page.evaluate(f"localStorage.setItem('theme', '{stored}')")
        page.reload()

    assert colour(page, framed=False) == expected


def test_a_link_to_airflow_leaves_the_frame_and_a_link_of_the_console_stays_in_it(
    address: str, page: "Page"
) -> None:
    page.goto(f"{address}plugin/truetape?theme=light")
    frame = page.frames[-1]

    frame.click("nav >> text=Backfill")
    frame.wait_for_selector("h1:has-text('Backfill from Kafka')")
    assert page.url == f"{address}plugin/truetape?theme=light"
    frame.evaluate(
        "document.getElementById('main').insertAdjacentHTML('beforeend',"
        " '<a id=out target=_top href=\"../dags/maintenance\">the DAG</a>')"
    )
    frame.click("#out")

    page.wait_for_url(f"{address}dags/maintenance")
    assert page.inner_text("h1") == "maintenance"
