"""Which session a run is for, and which sessions are due for a repair."""

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from support.ledger import publication
from truetape.host.errors import ConfigError
from truetape.lake import dirty
from truetape.lake.dirty import DirtyMark
from truetape.lake.publications import record_publication
from truetape.pipeline import publish as pipeline
from truetape.schedule import session_tasks
from truetape.schedule.session_tasks import due_repairs, gate_of_repair, list_revs, session_date


def utc(text: str) -> datetime:
    """Parse a UTC timestamp."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MONDAY_NOON = utc("2026-11-30T12:00:00")


@pytest.mark.parametrize(
    ("venue", "form_date", "interval_start", "day"),
    [
        ("XNYS", "2026-11-25", utc("2026-11-27T14:30:00"), "2026-11-25"),
        ("XNYS", None, utc("2026-11-27T14:30:00"), "2026-11-27"),
        ("XNYS", "", utc("2026-11-27T14:30:00"), "2026-11-27"),
        ("XNYS", None, None, "2026-11-27"),
        ("KRAKEN", None, utc("2026-11-28T00:00:00"), "2026-11-28"),
        ("KRAKEN", None, None, "2026-11-29"),
    ],
    ids=[
        "the form comes first",
        "then the data interval",
        "an empty field counts as no date",
        "else the last that closed",
        "a UTC day",
        "the last UTC day",
    ],
)
def test_a_run_is_for_the_session_of_its_form_its_interval_or_the_last_close(
    venue: str, form_date: str | None, interval_start: datetime | None, day: str
) -> None:
    assert session_date(venue, form_date, interval_start, MONDAY_NOON) == day


@pytest.mark.parametrize("day", ["2026-11-26", "2026-11-28"], ids=["thanksgiving", "a saturday"])
def test_a_form_with_a_closed_day_is_rejected(day: str) -> None:
    with pytest.raises(ConfigError, match=f"XNYS has no regular session on {day}"):
        session_date("XNYS", day, None, MONDAY_NOON)


THURSDAY, FRIDAY, MONDAY = (date(2026, 11, day) for day in (19, 20, 23))


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake with three dirty sessions; the tasks read its path from the environment."""
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    lake = str(tmp_path / "lake")
    days = (MONDAY, FRIDAY, THURSDAY)
    dirty.add_marks(lake, [DirtyMark("XNYS", day, "IBM", 1, 0, "raw", 3, 1) for day in days])
    return lake


def test_published_sessions_are_repaired_oldest_first_except_those_that_a_revert_holds(
    lake: str,
) -> None:
    for past in (
        publication(1, session=MONDAY),
        publication(1, session=FRIDAY),
        publication(1, session=THURSDAY),
        publication(2, session=THURSDAY, restores=1),
    ):
        record_publication(lake, past)

    assert due_repairs() == [
        {"venue": "XNYS", "session": "2026-11-20"},
        {"venue": "XNYS", "session": "2026-11-23"},
    ]


def test_symbols_that_became_dirty_after_the_recompute_are_left_to_the_next_run(lake: str) -> None:
    with pytest.raises(AirflowSkipException, match="1 symbols became dirty meanwhile"):
        gate_of_repair("XNYS", "2026-11-20", None)


@pytest.mark.parametrize("reason", [None, "", "late trades"])
def test_a_reason_alone_replaces_no_revert(reason: str | None) -> None:
    form = {"reason": reason, "replace_revert": False}

    assert session_tasks.reason_of(form) == (reason or "")


@pytest.mark.parametrize("ticked", [True, False])
def test_the_tick_of_the_form_decides_whether_a_revert_is_replaced(
    lake: str, monkeypatch: pytest.MonkeyPatch, ticked: bool
) -> None:
    asked: list[bool] = []

    def publish_once(*_: object, options: pipeline.PublishOptions) -> None:
        asked.append(options.supersedes)
        raise ConfigError("stop here")

    monkeypatch.setattr(pipeline, "publish_once", publish_once)
    run = SimpleNamespace(
        dag_id="batch_recompute_xnys", run_id="1", run_type="manual", triggering_user_name="ann"
    )
    with pytest.raises(ConfigError, match="stop here"):
        session_tasks.publish(
            "XNYS", "2026-11-20", run, reason="late trades", replaces_revert=ticked
        )

    assert asked == [ticked]


def test_the_revs_of_a_session_are_listed_with_who_published_them_and_why(lake: str) -> None:
    with pytest.raises(ConfigError, match="was never published"):
        list_revs("XNYS", "2026-11-20")
    record_publication(lake, publication(1, session=FRIDAY))
    record_publication(lake, publication(2, session=FRIDAY, restores=1))

    first, second = list_revs("XNYS", "2026-11-20")

    assert first.startswith("rev 1: ")
    assert second.startswith("rev 2: ")
    assert "by tests: because" in first
