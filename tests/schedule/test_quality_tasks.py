"""The look at what is new: reports of all of it, one error that names every rule that is broken."""

from pathlib import Path

import pytest

from support.session_lake import LakeSession, good_events, lake_session
from truetape.host.errors import GateClosedError
from truetape.quality import feed_tables
from truetape.quality.dag_runs import DagRun, noted
from truetape.quality.report import Kind, newest
from truetape.schedule import quality_tasks
from truetape.schedule.quality_tasks import check, published

SESSION = ("XNYS", "2024-11-22")
RECORDS = 90
RUN = DagRun("data_quality", "manual__2024-11-22T22:00:00+00:00")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of which the tasks' settings tell, with a store that serves nothing yet."""
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    monkeypatch.setenv("TRUETAPE_STORE", "embedded")
    monkeypatch.setenv("TRUETAPE_BUCKET_SET", "history")
    return tmp_path


def archived(home: Path, *lost: int) -> LakeSession:
    """A session in the lake, but for the records at some offsets."""
    made = lake_session(good_events())
    made.raw = [row for row in made.raw if row["offset"] not in lost]
    made.write(str(home / "lake"))
    return made


def test_a_session_that_was_published_twice_is_looked_at_once() -> None:
    event = {"venue": "XNYS", "session": "2024-11-22", "rev": 1, "edits": 5}
    other = event | {"session": "2024-11-25"}

    assert published([event, other, event | {"rev": 2}]) == [SESSION, ("XNYS", "2024-11-25")]
    assert published([]) == []


def test_feeds_are_looked_at_until_nothing_is_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(home)
    monkeypatch.setattr(feed_tables, "MAX_RECORDS", 4 * 40)  # 40 of each of four partitions

    done = check([], RUN)

    assert (done["records"], done["left"], len(done["reports"])) == (RECORDS, 0, 3)
    assert [one.run for one in noted(home, RUN)] == done["reports"]


def test_a_run_is_bounded_and_the_next_one_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(home)
    monkeypatch.setattr(feed_tables, "MAX_RECORDS", 4 * 40)
    monkeypatch.setattr(quality_tasks, "MAX_LOOKS", 1)

    assert (check([], RUN)["left"], check([], RUN)["left"]) == (50, 10)


def test_a_hole_is_told_once_with_the_runbook_s_section(home: Path) -> None:
    archived(home, 30, 31)

    with pytest.raises(GateClosedError, match=r"feeds: .* F2 \(every offset .*\"Closed gate\" in"):
        check([], RUN)
    assert check([], RUN)["records"] == 0


def test_a_session_that_is_not_served_as_recomputed_keeps_no_feed_from_being_looked_at(
    home: Path,
) -> None:
    archived(home, 30)

    with pytest.raises(GateClosedError) as raised:
        check([SESSION], RUN)

    told = str(raised.value)
    assert "XNYS 2024-11-22: gate rules that do not hold: R1" in told
    assert "feeds: gate rules that do not hold: F2" in told
    feeds = newest(home, Kind.FEED, None, None)
    assert feeds is not None
    assert not feeds.is_open
    assert [(one.venue, str(one.session)) for one in noted(home, RUN)] == [SESSION, (None, "None")]
