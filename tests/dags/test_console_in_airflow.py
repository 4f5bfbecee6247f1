"""The console where operators meet it: in a browser, signed in to the stack's own Airflow."""

from datetime import date
from typing import TYPE_CHECKING

import pytest

from support.airflow_user import signed_in, unpaused
from support.loop import send
from truetape.batch.run import archive_once
from truetape.feeds.simulator import Plan, simulate
from truetape.local import airflow_config
from truetape.schedule import dag_names
from truetape.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.real, pytest.mark.long]

SLOW_MS = 120_000
"""Airflow's own pages take 10 s and more on a busy machine."""


def page_of(browser: "Browser", airflow: Settings, user: str) -> "Page":
    """A page of somebody who has signed in by Airflow's form."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SLOW_MS)
    page.goto(f"http://127.0.0.1:{airflow.airflow_port}/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(airflow_config.passwords(airflow)[user].reveal())
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    return page


def console(page: "Page", airflow: Settings, name: str) -> "FrameLocator":
    """A page of the console inside Airflow's own."""
    page.goto(f"http://127.0.0.1:{airflow.airflow_port}/plugin/truetape-{name}")
    return page.frame_locator("iframe")


@pytest.mark.parametrize("user", ["viewer", "operator"])
def test_whoever_is_signed_in_sees_the_console_in_airflow(
    airflow: Settings, browser: "Browser", user: str
) -> None:
    page = page_of(browser, airflow, user)

    frame = console(page, airflow, "overview")

    assert frame.locator("h1").inner_text() == "Is what I see complete?"
    frame.locator("text=Supervision").first.wait_for()
    assert frame.locator("dd", has_text="paused").count() == 1
    frame.locator("nav >> text=Quality").click()
    frame.locator("h1", has_text="Quality reports").wait_for()
    page.context.close()


def test_a_viewer_plans_no_backfill_and_an_operator_does(
    airflow: Settings, browser: "Browser", spark: "SparkSession"
) -> None:
    made = simulate(Plan(date(2026, 3, 9), seed=3, trades=50, offset_s=0, duration_s=60))
    send(airflow, made.records)
    archive_once(airflow)
    unpaused(signed_in(airflow, "operator"), dag_names.BACKFILL_FROM_KAFKA)

    said = {}
    for user in ("viewer", "operator"):
        page = page_of(browser, airflow, user)
        frame = console(page, airflow, "backfill")
        frame.locator("input[name=reason]").fill("is anything missing?")
        frame.locator("button", has_text="Plan").first.click()
        over = "text=/may not start runs|: (success|failed)/"
        frame.locator(over).first.wait_for(timeout=4 * SLOW_MS)
        said[user] = frame.locator("#run").inner_text()
        page.context.close()
    unpaused(signed_in(airflow, "operator"), dag_names.BACKFILL_FROM_KAFKA, paused=True)

    assert "Your role may not start runs." in said["viewer"]
    assert ": success" in said["operator"]
    assert "To ingest" in said["operator"]
