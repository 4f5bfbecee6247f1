"""The topic of trades: where a driver begins, what stays closed, and what it refuses."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from support.build import NOON, SECOND, at
from support.counted import counted
from support.speed import beat, position
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.market.ranges import Range
from truetape.market.resolution import Resolution
from truetape.speed import trades_topic
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.position import PartitionPosition, SpeedPosition
from truetape.speed.state import SpeedState
from truetape.speed.trades_topic import TradesTopic, at_end, closed_until

MINUTE = 60 * SECOND
CLOCK_NS = NOON + 10 * MINUTE + 20 * SECOND
CLOCK_CLOSES_NS = NOON + 11 * MINUTE


@dataclass
class Offsets:
    """Kafka's offsets of a topic; `stamps_ms` has the stamps that it gives for first records."""

    spans: dict[int, Range]
    stamps_ms: dict[int, int | None] = field(default_factory=dict)

    def available(self) -> dict[int, Range]:
        return self.spans

    def ends(self) -> dict[int, int]:
        return {part: span.end for part, span in self.spans.items()}

    def stamps(self, offsets: Mapping[int, int]) -> dict[int, int | None]:
        assert all(offset in self.spans[part] for part, offset in offsets.items())
        return {part: self.stamps_ms[part] for part in offsets}


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades_topic, "time", SimpleNamespace(time_ns=lambda: CLOCK_NS))


def startable(settings: Settings, offsets: Offsets, place: PartitionPosition) -> PartitionPosition:
    """Return where a driver begins in partition 0 if the one before left it at `place`."""
    topic = TradesTopic(settings, offsets)  # type: ignore[arg-type]
    return topic.startable(SpeedPosition(7, {"0": place})).partitions["0"]


def test_a_driver_goes_on_where_the_last_one_stopped(settings: Settings) -> None:
    place = PartitionPosition(100, NOON, 80, NOON - MINUTE)

    assert startable(settings, Offsets({0: Range(80, 120)}), place) == place


def test_a_new_partition_begins_at_its_first_record(settings: Settings) -> None:
    topic = TradesTopic(settings, Offsets({0: Range(0, 120), 1: Range(5, 9)}))  # type: ignore[arg-type]
    before = position(7, NOON, p0=100)

    begin = topic.startable(before)

    assert begin.batch == 7
    assert begin.partitions == {
        **before.partitions,
        "1": PartitionPosition(5, NOTHING_CLOSED, 5, NOTHING_CLOSED),
    }


def test_without_a_position_every_partition_begins_at_its_first_record(settings: Settings) -> None:
    topic = TradesTopic(settings, Offsets({0: Range(3, 120), 1: Range(0, 0)}))  # type: ignore[arg-type]

    assert topic.startable(SpeedPosition()).offsets == {"0": 3, "1": 0}


@pytest.mark.parametrize(
    ("span", "stamp", "place", "expected"),
    [
        pytest.param(
            Range(90, 120),
            "2026-11-20T17:02:30",
            PartitionPosition(100, NOON, 80, NOON - MINUTE),
            PartitionPosition(100, NOON + 3 * MINUTE, 90, NOON + 3 * MINUTE),
            id="records before the offset: open windows may lack some",
        ),
        pytest.param(
            Range(110, 120),
            "2026-11-20T17:02:30",
            PartitionPosition(100, NOON, 80, NOON - MINUTE),
            PartitionPosition(110, NOON + 3 * MINUTE, 110, NOON + 3 * MINUTE),
            id="records that were not read",
        ),
        pytest.param(
            Range(90, 120),
            "2026-11-20T17:02:59",
            PartitionPosition(100, NOON, 80, NOON - MINUTE),
            PartitionPosition(100, NOON + 4 * MINUTE, 90, NOON + 4 * MINUTE),
            id="an event may be later than its stamp by the slack",
        ),
        pytest.param(
            Range(90, 120),
            "2026-11-20T17:02:30",
            PartitionPosition(100, NOON + 9 * MINUTE, 80, NOON),
            PartitionPosition(100, NOON + 9 * MINUTE, 90, NOON + 9 * MINUTE),
            id="what was closed stays closed",
        ),
        pytest.param(
            Range(120, 120),
            None,
            PartitionPosition(100, NOON, 80, NOON - MINUTE),
            PartitionPosition(120, CLOCK_CLOSES_NS, 120, CLOCK_CLOSES_NS),
            id="all records: the clock bounds their times",
        ),
        pytest.param(
            Range(90, 120),
            None,
            PartitionPosition(100, NOON, 80, NOON - MINUTE),
            PartitionPosition(100, CLOCK_CLOSES_NS, 90, CLOCK_CLOSES_NS),
            id="no record at the first offset: the clock bounds their times",
        ),
    ],
)
def test_windows_that_may_lack_deleted_records_stay_closed(
    settings: Settings,
    span: Range,
    stamp: str | None,
    place: PartitionPosition,
    expected: PartitionPosition,
) -> None:
    stamp_ms = None if stamp is None else at(stamp) // 1_000_000

    assert startable(settings, Offsets({0: span}, {0: stamp_ms}), place) == expected


def test_a_window_that_lost_trades_is_not_served_from_what_is_left(settings: Settings) -> None:
    """Records 0 and 1 of the minute were served, then deleted; 2 to 4 are left."""
    offsets = Offsets({0: Range(2, 5)}, {0: NOON // 1_000_000 + 2_000})
    place = PartitionPosition(3, NOTHING_CLOSED, 0, NOTHING_CLOSED)
    state = SpeedState(SpeedPosition(0, {"0": startable(settings, offsets, place)}))

    changed = state.add(
        counted(NOON + 2 * SECOND, NOON + 3 * SECOND, NOON + 70 * SECOND, offset=2)
    ).to_pylist()

    assert {(row["resolution"], row["start_ns"]) for row in changed} == {
        (Resolution.SECOND.value, NOON + 70 * SECOND),
        (Resolution.MINUTE.value, NOON + MINUTE),
    }


def test_a_reset_to_the_end_closes_every_window_that_may_have_a_record(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = Offsets({0: Range(0, 120), 1: Range(0, 0)})
    monkeypatch.setattr(trades_topic, "TopicOffsets", lambda *_: nullcontext(offsets))

    assert at_end(settings) == position(-1, CLOCK_CLOSES_NS, p0=120, p1=0)


@pytest.mark.parametrize(
    ("stamp_ns", "expected"),
    [
        pytest.param(NOON, NOON + MINUTE, id="the start of a minute"),
        pytest.param(NOON + 58 * SECOND, NOON + MINUTE, id="the slack ends within the minute"),
        pytest.param(NOON + 59 * SECOND, NOON + 2 * MINUTE, id="the slack ends in the next one"),
    ],
)
def test_the_last_minute_that_may_have_a_record_is_closed(
    settings: Settings, stamp_ns: int, expected: int
) -> None:
    """By default an event may be 1 s later than its stamp."""
    assert closed_until(stamp_ns, settings) == expected


def test_the_lag_counts_partitions_that_were_not_begun(settings: Settings) -> None:
    topic = TradesTopic(settings, Offsets({0: Range(0, 120), 1: Range(0, 4)}))  # type: ignore[arg-type]

    assert topic.lag({"0": 100}) == {"0": 20, "1": 4}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is compared with Kafka, which is away."""
    made: list[object] = []
    monkeypatch.setattr(trades_topic, "require_broker_stamps", lambda *_: made.append("stamps"))
    monkeypatch.setattr(trades_topic, "require_same_log", lambda *with_: made.append(with_[-1]))
    return made


def require_readable(settings: Settings, last: SpeedPosition) -> None:
    TradesTopic(settings, Offsets({})).require_readable(beat(position=last))  # type: ignore[arg-type]


def test_a_driver_compares_the_log_and_the_stamps_before_it_begins(
    settings: Settings, checked: list[object]
) -> None:
    require_readable(settings, position(7, NOON - 365 * 86_400 * SECOND, p0=100))

    assert checked == ["stamps", {"0": 100}]


def test_the_first_driver_compares_only_the_stamps(
    settings: Settings, checked: list[object]
) -> None:
    TradesTopic(settings, Offsets({})).require_readable(None)  # type: ignore[arg-type]

    assert checked == ["stamps"]


def test_a_watermark_beyond_the_clock_is_refused(settings: Settings, checked: list[object]) -> None:
    beyond = position(7, at("2098-01-02T14:59:00"), p0=100)

    with pytest.raises(ConfigError) as error:
        require_readable(settings, beyond)

    assert str(error.value).startswith("the speed layer has the watermark 2098-01-02T14:59:00Z, ")
    assert '"Watermark beyond the clock" in docs/RUNBOOK.md' in str(error.value)


def test_a_partition_that_has_closed_nothing_has_no_watermark(
    settings: Settings, checked: list[object]
) -> None:
    require_readable(settings, position(7, NOTHING_CLOSED, p0=100))

    assert checked


def test_kafka_being_away_is_no_refusal(
    settings: Settings, checked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise TransientError("Kafka is away")

    monkeypatch.setattr(trades_topic, "require_same_log", away)

    with pytest.raises(TransientError):
        require_readable(settings, position(7, p0=100))
