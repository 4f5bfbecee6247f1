"""The endpoint for monitoring, behind the same login as the pages."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from support.facts import NOW, SOUND, TUESDAY, XNYS, with_dag
from truetape.console import app
from truetape.console.app import create
from truetape.host.settings import Settings
from truetape.pipeline.facts import Facts, Failed

LATE = replace(TUESDAY, deadline=NOW - timedelta(hours=1))


def answer(monkeypatch: pytest.MonkeyPatch, here: Settings, facts: Facts) -> TestClient:
    monkeypatch.setattr(app, "read_facts", lambda *_: facts)
    return TestClient(create(lambda: here, lambda: None))


@pytest.mark.parametrize(
    ("facts", "status", "verdict"),
    [
        (SOUND, 200, "yes"),
        (with_dag("batch_recompute_xnys", is_paused=True), 200, "nearly"),
        (replace(SOUND, venues=(replace(XNYS, first=None, last=None),)), 200, "not yet"),
        (replace(SOUND, venues=(replace(XNYS, missing=(LATE,)),)), 503, "no"),
        (replace(SOUND, store=Failed("it is away")), 503, "no"),
    ],
    ids=["sound", "paused", "new", "late", "unreadable"],
)
def test_the_status_is_503_while_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, here: Settings, facts: Facts, status: int, verdict: str
) -> None:
    reply = answer(monkeypatch, here, facts).get("/health", headers={"Accept": "text/html"})

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["verdict"] == verdict


def test_a_concern_has_its_text_and_links_to_its_page_and_its_section_of_the_runbook(
    monkeypatch: pytest.MonkeyPatch, here: Settings
) -> None:
    facts = replace(SOUND, venues=(replace(XNYS, missing=(LATE,)),))

    body = answer(monkeypatch, here, facts).get("/health").json()

    assert body["concerns"] == [
        {
            "kind": "deadline_missed",
            "severity": "grave",
            "venue": "XNYS",
            "text": "XNYS 2026-11-24 is not final. Its deadline was 2026-11-24 11:00 UTC",
            "page": None,
            "airflow": "/dags/batch_recompute_xnys",
            "runbook": "http://127.0.0.1:18080/truetape/runbook#deadline-missed",
        }
    ]
    [venue] = body["venues"]
    assert (venue["last_final"], venue["next"]["session"]) == ("2026-11-23", "2026-11-24")
    assert body["archive"] == {
        "newest_record": "2026-11-24T11:45:00Z",
        "waiting": 0,
        "overdue": 0,
    }
    assert body["dags"][0]["dag"] == "speed_layer"


def test_nobody_reads_it_without_a_login(here: Settings) -> None:
    def nobody() -> None:
        raise HTTPException(401, "Not authenticated")

    assert TestClient(create(lambda: here, nobody)).get("/health").status_code == 401
