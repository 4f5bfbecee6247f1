"""The backfill page in a browser, with a small stand-in for Airflow's API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request

from support.console_app import may_not_start, may_start, served
from truetape.console.app import create
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

RUN = "manual__2026-11-27T18:00:00+00:00"
PLAN: Mapping[str, Any] = {
    "digest": "6a1f0c5d9be2437e", "asked": 4183, "in_kafka": 4176, "archived": 4170,
    "to_ingest": 6, "lost": 0, "awaited": 7, "unwritten": 0, "missing_offsets": "2:1200-1205",
    "lost_offsets": "", "events": 6, "sessions": ["XNYS 2026-11-20"],
}  # fmt: skip
NOTHING = PLAN | {"to_ingest": 0, "missing_offsets": "", "events": 0, "sessions": []}
FINAL = {"finalized": [{"venue": "XNYS", "session": "2026-11-20", "rev": 2}], "not_over_yet": []}
NONE_FINAL: Mapping[str, Any] = {"finalized": [], "not_over_yet": []}
NOT_OVER: Mapping[str, Any] = {"finalized": [], "not_over_yet": ["XNYS 2026-11-27"]}


@dataclass
class Airflow:
    """What Airflow's API answers, and which runs it was asked to start."""

    state: str = "success"
    tasks: dict[str, str] = field(default_factory=lambda: {"plan": "success"})
    results: dict[str, Any] = field(default_factory=lambda: {"plan": PLAN})
    started: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> FastAPI:
        """Return the part of the API that the page uses."""
        app = FastAPI()
        runs = "/api/v2/dags/backfill_from_kafka/dagRuns"

        @app.post(runs)
        async def start(request: Request) -> dict[str, str]:
            self.started.append((await request.json())["conf"])
            return {"dag_run_id": RUN}

        @app.get(runs)
        def newest() -> dict[str, Any]:
            return {"dag_runs": [{"dag_run_id": RUN}]}

        @app.get(runs + "/{run}")
        def state(run: str) -> dict[str, str]:
            assert run == RUN
            return {"state": self.state}

        @app.get(runs + "/{run}/taskInstances")
        def instances(run: str) -> dict[str, Any]:
            states = self.tasks.items()
            return {"task_instances": [{"task_id": name, "state": text} for name, text in states]}

        @app.get(runs + "/{run}/taskInstances/{task}/xcomEntries/return_value")
        def returned(run: str, task: str) -> dict[str, Any]:
            return {"value": self.results[task]}

        return app


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def address(here: Settings, airflow: Airflow) -> Iterator[str]:
    """The console below Airflow's address, for somebody who may start runs."""
    root = airflow.app()
    root.mount("/truetape", create(lambda: here, lambda: None, may_start))
    with served(root) as address:
        yield address


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("choice", "shown"),
    [("holes", set()), ("time", {"from", "to"}), ("offsets", {"offsets"})],
)
def test_only_the_fields_of_the_choice_are_shown_and_sent(
    address: str, airflow: Airflow, page: "Page", choice: str, shown: set[str]
) -> None:
    page.goto(f"{address}truetape/backfill")
    texts = {"from": "2026-11-20T14:30:00Z", "to": "2026-11-20T15:00:00Z", "offsets": "0:1-2"}

    page.select_option("select[name=by]", "offsets")
    page.fill("input[name=offsets]", "3:5-9")  # what another choice left behind is not sent
    page.select_option("select[name=by]", choice)
    for name in shown:
        page.fill(f"input[name={name}]", texts[name])
    page.click("text=Show the plan")
    page.wait_for_selector("#state:has-text('Nothing was written.')")

    visible = {name for name in texts if page.is_visible(f"input[name={name}]")}
    assert visible == shown
    sent = {name: texts[name] for name in shown}
    assert airflow.started == [{"by": choice, "dry_run": True} | sent]


def test_a_plan_needs_nothing_typed_and_a_start_needs_a_reason(
    address: str, airflow: Airflow, page: "Page"
) -> None:
    page.goto(f"{address}truetape/backfill")

    page.click("text=Start the backfill")
    assert page.evaluate("document.activeElement.name") == "reason"
    assert airflow.started == []
    page.click("text=Show the plan")
    page.wait_for_selector("#state:has-text('Nothing was written.')")

    assert airflow.started == [{"by": "holes", "dry_run": True}]


def test_plan_and_start_do_not_look_alike(address: str, page: "Page") -> None:
    page.goto(f"{address}truetape/backfill")

    looks = [
        page.eval_on_selector(
            f"button.{name}", "button => getComputedStyle(button).backgroundColor"
        )
        for name in ("plan", "start")
    ]

    assert len(set(looks)) == 2


ALL = dict.fromkeys(("plan", "ingest", "finalize"), "success")
SKIPPED = {"plan": "success", "ingest": "skipped", "finalize": "skipped"}
FOUND_NOTHING = SKIPPED | {"finalize": "success"}
RESULTS: dict[str, tuple[Airflow, str]] = {
    "nothing is missing": (
        Airflow("success", SKIPPED, {"plan": NOTHING}),
        "Nothing is missing. Nothing was written.",
    ),
    "a plan": (
        Airflow("success", SKIPPED, {"plan": PLAN}),
        "6 records can be restored. They affect XNYS 2026-11-20. Nothing was written.",
    ),
    "lost for good": (
        Airflow("success", SKIPPED, {"plan": NOTHING | {"lost": 1}}),
        "Nothing is missing that Kafka still has. Lost for good: 1 record. Nothing was written.",
    ),
    "filled": (
        Airflow("success", ALL, {"plan": PLAN, "ingest": {}, "finalize": FINAL}),
        "6 records restored. Published: XNYS 2026-11-20.",
    ),
    "nothing to fill": (
        Airflow("success", FOUND_NOTHING, {"plan": NOTHING, "finalize": NONE_FINAL}),
        "Nothing is missing. No session had to be published.",
    ),
    "a running session": (
        Airflow("success", ALL, {"plan": PLAN, "ingest": {}, "finalize": NOT_OVER}),
        "6 records restored. No session had to be published. Not over yet, published after their "
        "close: XNYS 2026-11-27.",
    ),
    "failed": (
        Airflow("failed", {"check_form": "success", "plan": "failed"}, {}),
        "The run failed in plan. Its log in Airflow says why.",
    ),
    "waits for an approval": (
        Airflow("running", {"plan": "success", "approve": "awaiting_input"}, {"plan": PLAN}),
        "The run is waiting for an approval in Airflow…",
    ),
    "queued": (Airflow("queued", {}, {}), "The run is waiting to start…"),
}


@pytest.mark.parametrize("result", RESULTS)
def test_the_result_is_a_sentence_with_a_link_to_the_run(
    here: Settings, page: "Page", result: str
) -> None:
    airflow, says = RESULTS[result]
    root = airflow.app()
    root.mount("/truetape", create(lambda: here, lambda: None, may_start))
    with served(root) as address:
        page.goto(f"{address}truetape/backfill")
        page.fill("input[name=reason]", "lost files")
        page.click("text=Start the backfill")
        page.locator("#link").wait_for()

        assert page.inner_text("#state") == says
        assert page.eval_on_selector("#link", "link => link.href") == (
            f"{address}dags/backfill_from_kafka/runs/manual__2026-11-27T18%3A00%3A00%2B00%3A00"
        )
        assert page.locator("dd", has_text="6a1f0c5d9be2437e").count() == 0
        page.context.close()


def test_a_viewer_sees_the_last_plan_and_no_button(
    here: Settings, airflow: Airflow, page: "Page"
) -> None:
    root = airflow.app()
    root.mount("/truetape", create(lambda: here, lambda: None, may_not_start))
    with served(root) as address:
        page.goto(f"{address}truetape/backfill")
        page.locator("#link").wait_for()

        assert page.inner_text("#state").startswith("6 records can be restored.")
        assert page.locator("main button, main input").count() == 0
        page.context.close()
    assert airflow.started == []
