"""The console in a browser that is signed in to the stack's own Airflow."""

from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from support.airflow_page import SLOW_MS, signed_in_page
from support.airflow_user import signed_in, unpause
from support.loop import send
from support.wait import until
from truetape.batch.jobs import archive_once
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.settings import Settings
from truetape.schedule import dag_names
from truetape.stack.airflow_api import AirflowApi, AirflowRun

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

pytestmark = [pytest.mark.real, pytest.mark.long]


def console(page: "Page", airflow: Settings, name: str) -> "FrameLocator":
    """Open a page of the console inside Airflow's page."""
    page.goto(f"http://127.0.0.1:{airflow.airflow_port}/plugin/truetape/truetape/{name}")
    return page.frame_locator("iframe")


@pytest.mark.parametrize("user", ["viewer", "operator"])
def test_every_signed_in_user_sees_the_console_in_airflow(
    airflow: Settings, browser: "Browser", user: str
) -> None:
    page = signed_in_page(browser, airflow, user)

    frame = console(page, airflow, "")

    assert frame.locator("h1").inner_text() == "Is what I see complete?"
    frame.locator("text=Supervision").first.wait_for()
    assert frame.locator("dd", has_text="paused").count() == 1
    page.get_by_role("link", name="truetape").wait_for()
    frame.locator("nav >> text=Quality").click()
    frame.locator("h1", has_text="Quality reports").wait_for()
    page.context.close()


@pytest.fixture(scope="module")
def archived(airflow: Settings) -> None:
    """Send fifty trades to Kafka and archive them."""
    made = simulate(SimulationPlan(date(2026, 3, 9), seed=3, trades=50, offset_s=0, duration_s=60))
    send(airflow, made.records)
    archive_once(airflow)


def run_dag(api: AirflowApi, dag: str, conf: dict[str, object] | None = None) -> AirflowRun:
    """Trigger a DAG, wait, and return its finished run."""
    body = {"logical_date": None, "conf": conf or {}}
    name = api.request("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"]
    runs: list[AirflowRun] = []

    def is_over() -> bool:
        runs[:] = [run for run in api.runs(dag) if run.run == name]
        return runs[0].is_over

    unpause(api, dag)
    until(is_over, 4 * SLOW_MS / 1_000)
    unpause(api, dag, paused=True)
    return runs[0]


@pytest.mark.parametrize("user", ["viewer", "operator"])
def test_the_page_of_a_run_links_to_its_quality_reports(
    airflow: Settings, browser: "Browser", archived: None, user: str
) -> None:
    api = signed_in(airflow, "operator")
    checked = run_dag(api, dag_names.DATA_QUALITY)
    assert checked.state == "success"

    page = signed_in_page(browser, airflow, user)
    page.goto(api.run_page(checked))
    page.get_by_role("link", name="Quality reports").or_(
        page.get_by_role("tab", name="Quality reports")
    ).first.click()
    frame = page.frame_locator("iframe")
    frame.locator("h1", has_text="Quality reports of a run").wait_for()

    assert [entry.inner_text() for entry in frame.locator("dd").all()] == [checked.dag, checked.run]
    frame.locator("tbody a", has_text="feeds").click()
    frame.locator("h1", has_text="Quality of all feeds").wait_for()
    assert "The gate is open." in frame.locator("main").inner_text()
    page.context.close()


def test_the_page_of_a_task_has_a_button_that_leads_to_the_reports_of_its_run(
    airflow: Settings, browser: "Browser", archived: None
) -> None:
    api = signed_in(airflow, "operator")
    checked = run_dag(api, dag_names.DATA_QUALITY)
    path = f"dags/{checked.dag}/dagRuns/{quote(checked.run)}/taskInstances/check_new_data/links"

    (link,) = api.request("GET", f"/api/v2/{path}")["extra_links"].values()
    page = signed_in_page(browser, airflow, "operator")
    page.goto(f"{api.run_page(checked)}/tasks/check_new_data/details")
    page.get_by_role("link", name="Quality reports of this run").click()
    frame = page.frame_locator("iframe")
    frame.locator("h1", has_text="Quality reports of a run").wait_for()

    assert link.startswith("plugin/truetape/truetape/quality/run?")
    assert checked.run in frame.locator("main").inner_text()
    page.context.close()


@pytest.mark.parametrize("dag", ["batch_recompute_xnys", "backfill_from_kafka"])
def test_a_form_can_be_sent_with_nothing_typed(
    airflow: Settings, browser: "Browser", dag: str
) -> None:
    page = signed_in_page(browser, airflow, "operator")
    page.goto(f"http://127.0.0.1:{airflow.airflow_port}/dags/{dag}")
    page.get_by_test_id("trigger-dag-button").click()
    form = page.get_by_role("dialog")
    form.locator("text=Reason").first.wait_for()

    button = form.get_by_role("button", name="Trigger", exact=True)

    assert button.is_enabled()
    page.context.close()


def test_the_page_of_a_run_without_reports_says_that_there_is_none(
    airflow: Settings, browser: "Browser", archived: None
) -> None:
    api = signed_in(airflow, "operator")
    conf = {"by": "holes", "reason": "is anything missing?", "dry_run": True}
    planned = run_dag(api, dag_names.BACKFILL_FROM_KAFKA, conf)

    page = signed_in_page(browser, airflow, "viewer")
    page.goto(f"{api.run_page(planned)}/plugin/truetape-run-quality")
    frame = page.frame_locator("iframe")
    frame.locator("text=This run has no quality report.").wait_for()

    assert planned.run in frame.locator("main").inner_text()
    page.context.close()


def test_an_operator_can_plan_a_backfill_and_a_viewer_cannot(
    airflow: Settings, browser: "Browser", archived: None
) -> None:
    unpause(signed_in(airflow, "operator"), dag_names.BACKFILL_FROM_KAFKA)

    page = signed_in_page(browser, airflow, "operator")
    frame = console(page, airflow, "backfill")
    frame.locator("button", has_text="Show the plan").click()
    frame.locator("text=Nothing was written.").wait_for(timeout=4 * SLOW_MS)
    planned = frame.locator("#state").inner_text()
    frame.locator("#link").click()  # out of the frame, to the page of the run
    page.wait_for_url(f"**/dags/{dag_names.BACKFILL_FROM_KAFKA}/runs/**")
    page.context.close()
    viewer = signed_in_page(browser, airflow, "viewer")
    seen = console(viewer, airflow, "backfill")
    seen.locator("text=Nothing was written.").wait_for()
    offered = seen.locator("main button, main input").count()
    viewer.context.close()
    unpause(signed_in(airflow, "operator"), dag_names.BACKFILL_FROM_KAFKA, paused=True)

    assert planned == "Nothing is missing. Nothing was written."
    assert offered == 0
