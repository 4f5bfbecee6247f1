"""A browser page that is signed in to the stack's Airflow."""

from typing import TYPE_CHECKING

from truetape.host.settings import Settings
from truetape.stack import airflow_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLOW_MS = 120_000
"""The timeout of a page: Airflow's own pages take 10 s and more on a busy machine."""


def signed_in_page(browser: "Browser", airflow: Settings, user: str) -> "Page":
    """Return a page of a user who has signed in through Airflow's form."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SLOW_MS)
    page.goto(f"http://127.0.0.1:{airflow.airflow_port}/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(airflow_config.passwords(airflow)[user].reveal())
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    return page
