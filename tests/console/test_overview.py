"""The overview page in each state that it reports, and with sources that cannot be read."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from support.build import NOON, SECOND, VENUES
from support.html import Tags, text_of
from support.ledger import publication
from truetape.broker.boundary import Boundary
from truetape.console import airflow_side
from truetape.console.app import create
from truetape.host.calendars import session
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.lake import dirty
from truetape.lake.dirty import DirtyMark
from truetape.lake.publications import record_publication
from truetape.market.ranges import Range, Ranges
from truetape.pipeline import fact_reader
from truetape.pipeline.facts import DagDuty, DagFacts, Part
from truetape.speed.control_records import Desired, DesiredState, LaunchHistory
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat
from truetape.speed.observation import Health, Observed
from truetape.speed.supervision import SpeedStatus
from truetape.stack.server import free_port

FRIDAY = session(VENUES["XNYS"], date(2026, 11, 20))
MONDAY = session(VENUES["XNYS"], date(2026, 11, 23))
TUESDAY = session(VENUES["XNYS"], date(2026, 11, 24))


@pytest.fixture
def kafka_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Kafka by a broker without a heartbeat and without boundaries."""

    def nothing_runs(_: Settings) -> SpeedStatus:
        raise TransientError("no heartbeat")

    monkeypatch.setattr(fact_reader, "require_listener", lambda _: None)
    monkeypatch.setattr("truetape.speed.supervision.status_of", nothing_runs)
    monkeypatch.setattr(fact_reader, "boundaries_of", lambda _: [])


def speed_layer(
    monkeypatch: pytest.MonkeyPatch,
    health: Health,
    ordered: DesiredState = DesiredState.STARTED,
    beat_ago_s: float = 7,
) -> None:
    """Let the supervisor report a driver that is 1,234 records behind in two partitions."""
    now = datetime.now(UTC)
    beat_ns = int((now - timedelta(seconds=beat_ago_s)).timestamp()) * SECOND
    driver = Driver("host-a", "boot", 4242, "boot/1")
    beat = Heartbeat("sip", 3, driver, 1, NOON, beat_ns, rows_per_s=1_999.5, freshness_s=2.25)
    observed = Observed(beat=beat, lag={"0": 1_000, "1": 234})
    desired = Desired(ordered, 1, "open for business", "ann", now)
    status = SpeedStatus(health, "seen by a test", desired, observed, LaunchHistory(), ())
    monkeypatch.setattr("truetape.speed.supervision.status_of", lambda _: status)


def test_lag_freshness_and_rate_of_the_speed_layer_are_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kafka_answers: None
) -> None:
    speed_layer(monkeypatch, Health.LAGGING)

    text = text_of(client.get("/").text)

    assert (
        "Health lagging Why seen by a test Should be running. Started by ann: open for business"
        in text
    )
    assert "Freshness 2.25 s Records behind 1,234 Records a second 1,999.50" in text
    assert "Speed layer unhealthy: it is lagging: seen by a test. What to do" in text


@pytest.mark.parametrize(("beat_ago_s", "has_age"), [(7, True), (-86_400, False)])
def test_a_heartbeat_from_the_future_has_no_age(
    beat_ago_s: float,
    has_age: bool,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    kafka_answers: None,
) -> None:
    speed_layer(monkeypatch, Health.HUNG, beat_ago_s=beat_ago_s)

    text = text_of(client.get("/").text)

    assert "Driver pid 4242 on host-a" in text
    assert (", last heartbeat " in text) is has_age


def test_a_stopped_speed_layer_is_shown_with_the_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kafka_answers: None
) -> None:
    speed_layer(monkeypatch, Health.STOPPED, DesiredState.STOPPED)

    assert (
        "Speed layer stopped: no provisional bars are written. Stopped by ann: open for business"
        in text_of(client.get("/").text)
    )


def dags(*facts: DagFacts) -> Callable[[Settings], tuple[DagFacts, ...]]:
    return lambda _: facts


SUPERVISOR = DagDuty("speed_layer", Part.SUPERVISION)
SUPERVISION = pytest.mark.parametrize(
    ("found", "shown"),
    [((DagFacts(SUPERVISOR),), "on"), ((DagFacts(SUPERVISOR, is_paused=True),), "paused"),
     ((DagFacts(SUPERVISOR, is_known=False),), "unknown"), (None, "unknown")],
    ids=["on", "the DAG is paused", "no such DAG", "no Airflow"],
)  # fmt: skip


@SUPERVISION
def test_the_state_of_supervision_is_shown(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    kafka_answers: None,
    found: tuple[DagFacts, ...] | None,
    shown: str,
) -> None:
    monkeypatch.setattr(airflow_side, "read_dags", lambda _: found)
    speed_layer(monkeypatch, Health.HEALTHY)

    assert_supervision(client.get("/").text, shown)


@SUPERVISION
def test_the_state_of_supervision_is_shown_even_if_the_speed_layer_cannot_be_read(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    found: tuple[DagFacts, ...] | None,
    shown: str,
) -> None:
    monkeypatch.setattr(airflow_side, "read_dags", lambda _: found)

    assert_supervision(client.get("/").text, shown)


def assert_supervision(page: str, shown: str) -> None:
    assert f"Supervision {shown}" in text_of(page)
    concern = "speed_layer is paused: a driver of the speed layer that dies is not replaced"
    assert (concern in text_of(page)) is (shown == "paused")


def test_the_boundary_of_each_venue_and_its_gaps_are_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kafka_answers: None
) -> None:
    runs = Ranges(Range(session.start_ns, session.end_ns) for session in (FRIDAY, TUESDAY))
    boundaries = (
        Boundary("KRAKEN"),
        Boundary("XNYS", TUESDAY.end_ns, FRIDAY.end_ns, runs),
    )
    monkeypatch.setattr(fact_reader, "boundaries_of", lambda _: boundaries)

    text = text_of(client.get("/").text)

    assert "KRAKEN none not scheduled: it is not in TRUETAPE_VENUES none" in text
    assert "XNYS 2026-11-20 2026-11-20 20" in text
    assert re.search(
        r"Deadline missed: XNYS: \d+ closed sessions are not final, 2026-11-23 to ", text
    )


def test_publications_and_dirty_or_held_sessions_are_shown_without_kafka(
    here: Settings, client: TestClient
) -> None:
    days = [day.date for day in (FRIDAY, MONDAY)]
    record_publication(
        here.lake, publication(1, session=days[0], reason="at the close", published_ns=NOON)
    )
    later = {"session": days[1], "published_ns": NOON + SECOND}
    record_publication(here.lake, publication(1, **later))
    record_publication(
        here.lake, publication(2, restores=1, who="ann", reason="wrong cancels", **later)
    )
    dirty.add_marks(here.lake, [DirtyMark("XNYS", days[0], "IBM", 1, 0, "raw", 3, 1)])

    text = text_of(client.get("/").text)

    assert "Cannot be read: final ranges: no Kafka server accepts a connection" in text
    assert "XNYS 2026-11-20 1 2026-11-20 17:00:00 UTC 10 10 tests at the close" in text
    assert text.index("XNYS 2026-11-23 2") < text.index("XNYS 2026-11-20 1")
    assert (
        "Late data: XNYS 2026-11-20 has trades or changes of 1 symbol that its final bars" in text
    )
    assert "Revert in force: XNYS 2026-11-23 is held at rev 1 by ann: wrong cancels" in text


def test_without_kafka_and_influxdb_each_unreadable_part_is_named(here: Settings) -> None:
    here.home.mkdir()
    token = here.home / "token"
    token.write_text("a token that opens nothing")
    token.chmod(0o600)
    url = f"http://127.0.0.1:{free_port()}"
    away = replace(here, store="influx", influx_url=url, influx_token_file=token)
    client = TestClient(create(lambda: away, lambda: None))

    answer = client.get("/", headers={"Accept": "text/html"})

    text = text_of(answer.text)
    assert answer.status_code == 200
    for part in ("the speed layer", "final ranges", "offsets", "served bars"):
        assert f"Cannot be read: {part}: " in text
    assert url in text.partition("Served bars Cannot be read: ")[2].partition("Last")[0]
    assert "Last publications None yet." in text


def test_a_broken_quality_report_is_named_and_the_rest_is_shown(
    here: Settings, client: TestClient, drifted: None
) -> None:
    broken = here.home / "quality" / "XNYS" / "2024-11-22" / "20241122T220000000000-abcdef.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("<script>alert(1)</script>")

    page = client.get("/").text

    assert "Cannot be read: quality reports: " in text_of(page)
    assert not [1 for tag, attributes in Tags(page).tags if tag == "script" and not attributes]
    assert "XNYS 2024-11-22 1" in text_of(page)
