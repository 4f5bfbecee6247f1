"""Params that got past a form, as an API call's can: each task fails with 78, without a traceback.

Airflow checks forms by their JSON schemas; a schema does not know calendars or sizes of numbers.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from support.absurd import ABSURD, QUARTERS, quarter_of
from support.boundary import close_boundary
from support.published_home import DATE, ENVIRONMENT, make_published_home
from truetape.batch.backfill_request import FORM
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.settings import Settings
from truetape.pipeline.backfill_steps import run_step
from truetape.schedule import backfill_tasks, forms, session_tasks, speed_tasks

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ODD: tuple[Any, ...] = (
    *ABSURD, "\0", "\ud800", None, True, 1.5, -1, 0, 2**63, float("nan"), [], [None], [["IBM"]], {},
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run of a DAG as a task sees it."""

    dag_id: str = "a_dag"
    run_id: str = "a_run"
    run_type: str = "manual"
    triggering_user_name: str | None = "operator"


Call = Callable[[Any], object]
TASKS: dict[str, Call] = {
    "recompute session": lambda odd: session_tasks.session_date("XNYS", odd, None, NOON),
    "recompute venue": lambda odd: session_tasks.session_date(odd, DATE, None, NOON),
    "publish venue": lambda odd: session_tasks.publish(odd, DATE, Run(), reason="a test"),
    "publish session": lambda odd: session_tasks.publish("XNYS", odd, Run(), reason="a test"),
    "publish reason": lambda odd: session_tasks.reason_of({"reason": odd, "replace_revert": False}),
    "publish over a revert": lambda odd: session_tasks.reason_of(
        {"reason": "", "replace_revert": odd}
    ),
    "revert venue": lambda odd: session_tasks.revert(odd, DATE, 1, who="o", reason="a test"),
    "revert session": lambda odd: session_tasks.revert("XNYS", odd, 1, who="o", reason="a test"),
    "revert rev": lambda odd: session_tasks.revert("XNYS", DATE, odd, who="o", reason="a test"),
    "revert reason": lambda odd: session_tasks.revert("XNYS", DATE, 1, who="o", reason=odd),
    "speed action": lambda odd: speed_tasks.order(odd, "a test", "o"),
    "speed reason": lambda odd: speed_tasks.order("start", odd, "o"),
    "plan text": lambda odd: run_step(Settings.from_env(), "plan", json.dumps(odd)),
    **{
        f"backfill {name} by {by}": lambda odd, name=name, by=by: backfill_tasks.request(
            {"by": by, "reason": "a test", name: odd}, by_hand=True
        )
        for name in FORM
        for by in ("holes", "time", "offsets")
    },
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home: Path = tmp_path_factory.mktemp("params")
    make_published_home(home)
    return home


@pytest.fixture(autouse=True)
def _outside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "TRUETAPE_HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    close_boundary(monkeypatch)


@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.parametrize("task", TASKS)
def test_a_bad_param_is_an_error_of_truetape(task: str, quarter: int) -> None:
    problems = []
    for value in quarter_of(ODD, quarter, list(TASKS).index(task)):
        try:
            TASKS[task](value)
        except TruetapeError:
            continue
        except (
            TypeError, ValueError, KeyError, ArithmeticError, AttributeError, OSError,
        ) as error:  # fmt: skip
            problems.append(f"{value!r:.80}: {type(error).__name__}: {error}")
    assert "\n".join(problems) == ""


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("recompute session", "9999-12-31"),
        ("recompute session", "0001-01-01"),
        ("recompute session", "20261120"),
        ("recompute venue", "NOPE"),
        ("revert session", "2026-02-29"),
        ("revert rev", True),
        ("revert rev", 0),
        ("revert reason", "two\nlines"),
        ("speed action", "reboot"),
        ("publish reason", "\ud800"),
        ("publish over a revert", True),
        ("publish over a revert", "yes"),
        ("backfill from by time", "0001-01-01T00:00:00Z"),
        ("backfill offsets by offsets", "0:5-3"),
    ],
)
def test_what_a_person_must_change_fails_with_78_and_is_not_retried(task: str, value: Any) -> None:
    with pytest.raises(ConfigError) as failed:
        TASKS[task](value)

    assert failed.value.exit_code == 78


@pytest.mark.parametrize(
    "param",
    [
        *forms.recompute_form().values(),
        *forms.revert_form(["XNYS"]).values(),
        *forms.speed_form().values(),
        *forms.backfill_form().values(),
    ],
    ids=lambda param: str(param.schema["title"]),
)
def test_a_form_accepts_or_refuses_every_value(param: Param) -> None:
    for value in ODD:
        try:
            param.resolve(value)
        except ParamValidationError:
            continue
