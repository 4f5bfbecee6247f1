"""The verb `status`: the verdict as text, as JSON and as an exit code."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from support.facts import NOW, SOUND, TUESDAY, XNYS, with_dag
from truetape.cli.main import truetape
from truetape.pipeline import fact_reader
from truetape.pipeline.facts import Facts, Failed

LATE = replace(TUESDAY, deadline=NOW - timedelta(hours=1))
BEHIND = replace(SOUND, venues=(XNYS, replace(XNYS, venue="XTKS", missing=(LATE,))))
Run = Callable[..., Result]


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> Run:
    def run(facts: Facts, *options: str) -> Result:
        monkeypatch.setattr(fact_reader, "read_facts", lambda *_: facts)
        return CliRunner().invoke(truetape, ["status", *options], env=dict(environment))

    return run


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (SOUND, 0),
        (with_dag("data_quality", is_paused=True), 3),
        (replace(SOUND, venues=(replace(XNYS, first=None, last=None),)), 3),
        (BEHIND, 4),
        (replace(BEHIND, store=Failed("it is away")), 75),
    ],
    ids=["complete", "paused", "nothing final", "late", "unreadable"],
)
def test_the_exit_code_says_whether_something_is_wrong(
    status: Run, facts: Facts, code: int
) -> None:
    assert status(facts).exit_code == code
    assert status(facts, "--json").exit_code == code


def test_the_text_has_the_verdict_the_concerns_and_what_is_due_next(status: Run) -> None:
    shown = status(replace(BEHIND, dags=None)).output

    assert shown.splitlines()[:6] == [
        "No.",
        "  ! Deadline missed: XTKS 2026-11-24 is not final. Its deadline was 2026-11-24 11:00 UTC",
        "  Airflow was not asked: paused, failed and late DAGs are not known here",
        "XNYS: last final session 2026-11-23; next 2026-11-24, due 2026-11-25 01:15 UTC, "
        "deadline 2026-11-25 02:15 UTC",
        "XTKS: last final session 2026-11-23; next 2026-11-24, due 2026-11-25 01:15 UTC, "
        "deadline 2026-11-25 02:15 UTC",
        "archived: up to 2026-11-24 11:45 UTC; 0 records wait for the next run",
    ]


def test_another_venue_s_deadline_does_not_count(status: Run) -> None:
    assert status(BEHIND, "--venue", "XNYS").exit_code == 0
    assert status(BEHIND, "--venue", "XTKS").exit_code == 4


def test_programs_get_verdict_concerns_and_boundaries(status: Run) -> None:
    report = json.loads(status(BEHIND, "--json").stdout)

    assert report["verdict"] == "no"
    assert [concern["venue"] for concern in report["concerns"]] == ["XTKS"]
    assert [boundary["venue"] for boundary in report["boundaries"]] == ["XNYS", "XNYS"]
    assert report["dirty"] == report["held"] == []


def test_without_kafka_the_rest_is_shown_and_the_code_is_75(
    environment: Mapping[str, str],
) -> None:
    away = {**environment, "TRUETAPE_KAFKA": "127.0.0.1:1"}

    done = CliRunner().invoke(truetape, ["status"], env=away)

    assert done.exit_code == 75
    assert "Cannot be read: the speed layer: " in done.output
    assert "Cannot be read: served bars" not in done.output
