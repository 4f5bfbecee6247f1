"""The check of everything new: a report for each part, one error that names every failed rule."""

from pathlib import Path

import pytest

from support.session_lake import LakeSession, good_events, lake_session
from truetape.host.errors import GateClosedError
from truetape.quality import feed_tables
from truetape.quality.dag_runs import DagRun, reports_of
from truetape.quality.report import ReportKind, newest
from truetape.schedule import quality_tasks
from truetape.schedule.quality_tasks import check, published_sessions

SESSION = ("XNYS", "2024-11-22")
RECORDS = 90
RUN = DagRun("data_quality", "manual__2024-11-22T22:00:00+00:00")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home that the tasks read from the environment, with an empty store."""
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    monkeypatch.setenv("TRUETAPE_STORE", "embedded")
    monkeypatch.setenv("TRUETAPE_BUCKET_SET", "history")
    return tmp_path


def archive(home: Path, *lost: int) -> LakeSession:
    """Write a session into the lake, without the records at the `lost` offsets."""
    session = lake_session(good_events())
    session.raw = [row for row in session.raw if row["offset"] not in lost]
    session.write(str(home / "lake"))
    return session


def test_a_session_that_was_published_twice_is_checked_once() -> None:
    event = {"venue": "XNYS", "session": "2024-11-22", "rev": 1, "edits": 5}
    other = event | {"session": "2024-11-25"}

    assert published_sessions([event, other, event | {"rev": 2}]) == [
        SESSION,
        ("XNYS", "2024-11-25"),
    ]
    assert published_sessions([]) == []


def test_feeds_are_checked_until_no_record_is_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(home)
    monkeypatch.setattr(feed_tables, "MAX_RECORDS", 4 * 40)  # 40 of each of four partitions

    result = check([], RUN)

    assert (result["records"], result["left"], len(result["reports"])) == (RECORDS, 0, 3)
    assert [entry.run for entry in reports_of(home, RUN)] == result["reports"]


def test_a_run_checks_a_bounded_number_of_records_and_the_next_run_continues(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(home)
    monkeypatch.setattr(feed_tables, "MAX_RECORDS", 4 * 40)
    monkeypatch.setattr(quality_tasks, "MAX_FEED_CHECKS", 1)

    assert (check([], RUN)["left"], check([], RUN)["left"]) == (50, 10)


def test_a_hole_is_reported_once_with_the_section_of_the_runbook(home: Path) -> None:
    archive(home, 30, 31)

    with pytest.raises(GateClosedError, match=r"feeds: .* F2 \(every offset .*\"Closed gate\" in"):
        check([], RUN)
    assert check([], RUN)["records"] == 0


def test_feeds_are_checked_even_if_a_session_is_not_served_as_recomputed(
    home: Path,
) -> None:
    archive(home, 30)

    with pytest.raises(GateClosedError) as raised:
        check([SESSION], RUN)

    message = str(raised.value)
    assert "XNYS 2024-11-22: broken gate rules: R1" in message
    assert "feeds: broken gate rules: F2" in message
    feeds = newest(home, ReportKind.FEED, None, None)
    assert feeds is not None
    assert not feeds.is_open
    assert [(entry.venue, str(entry.session)) for entry in reports_of(home, RUN)] == [
        SESSION,
        (None, "None"),
    ]
