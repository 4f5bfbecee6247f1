"""A heartbeat by the broker's clock."""

from dataclasses import replace

from support.build import SECOND
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, by_clock_of_broker

DAYS = 3 * 86_400 * SECOND
BEAT = Heartbeat(
    layer="trades",
    epoch=1,
    driver=Driver("host", "machine", 1, "born"),
    command=1,
    started_ns=1_000 * SECOND,
    beat_ns=1_100 * SECOND,
    batch_end_ns=1_090 * SECOND,
)


def test_a_driver_whose_clock_is_days_behind_looks_as_young_as_it_is() -> None:
    behind = replace(
        BEAT,
        started_ns=BEAT.started_ns - DAYS,
        beat_ns=BEAT.beat_ns - DAYS,
        batch_end_ns=BEAT.batch_end_ns - DAYS,
    )

    assert by_clock_of_broker(behind, BEAT.beat_ns) == BEAT


def test_a_driver_whose_clock_is_days_ahead_beats_at_no_time_of_the_future() -> None:
    ahead = replace(BEAT, started_ns=BEAT.started_ns + DAYS, beat_ns=BEAT.beat_ns + DAYS)

    beat = by_clock_of_broker(ahead, BEAT.beat_ns)

    assert (beat.started_ns, beat.beat_ns) == (BEAT.started_ns, BEAT.beat_ns)


def test_a_driver_that_has_finished_no_batch_has_none_by_any_clock() -> None:
    assert by_clock_of_broker(replace(BEAT, batch_end_ns=0), BEAT.beat_ns + DAYS).batch_end_ns == 0
