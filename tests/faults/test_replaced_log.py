"""Offsets that Kafka gives to other records, and the speed layer: it refuses them, then goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.drivers import READ_WITHIN_S, last_word, read_all, running, store_of
from support.loop import own_settings, send
from support.replaced_log import lose_log, make_topic_anew
from truetape.broker.offsets import topic_id
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.store import BarStore
from truetape.speed.heartbeat import Heartbeat, newest
from truetape.speed.read_log import require_same_log
from truetape.speed.reset import ResetTo, reset_position
from truetape.stack import lifecycle as local_stack
from truetape.tour.speed_process import SpeedProcess

if TYPE_CHECKING:
    from truetape.serving.store import ServedBar

pytestmark = [pytest.mark.faults, pytest.mark.real]

SECOND_NS = 1_000_000_000
START_NS = 1_795_185_000_000_000_000
"""2026-11-20T14:30:00Z."""
VENUE = "BINANCE"
"""No other test publishes it on this stack, so no fence is in the way."""


@pytest.fixture
def own(request: pytest.FixtureRequest, stack: Settings, tmp_path: Path) -> Iterator[Settings]:
    engine = getattr(request, "param", "direct")
    yield own_settings(stack, tmp_path, partitions=2, speed_lateness_s=3_600, speed_engine=engine)
    local_stack.up(stack, report=lambda _: None)


def symbol_of(own: Settings) -> str:
    """Return a symbol that no other test on this stack has."""
    return own.topic.removeprefix("trades-").upper()


def trades(own: Settings, second: int, count: int, price: int) -> list[Record]:
    """Return trades of one symbol within one second, of size 10."""
    at = START_NS + second * SECOND_NS
    return [
        Record(
            f'{{"kind":"trade","symbol":"{symbol_of(own)}","venue":"{VENUE}","id":"{price}-{number}",'
            f'"event_time":{at},"price":"{price}","size":"10"}}'.encode(),
            "truetape",
            symbol_of(own),
            at,
        )
        for number in range(count)
    ]


def run_until_read(own: Settings) -> int:
    """Run a driver until it has read everything; return its exit code."""
    with running(own) as driver:
        read_all(driver, own)
        return driver.stop()


def seconds(own: Settings, store: BarStore) -> "dict[int, ServedBar]":
    end_ns, symbols = START_NS + 60 * SECOND_NS, [symbol_of(own)]
    bars = store.read(Resolution.SECOND, START_NS, end_ns, venue=VENUE, symbols=symbols)
    return {(bar.start_ns - START_NS) // SECOND_NS: bar for bar in bars}


@pytest.mark.parametrize(
    ("own", "replace_log", "count"),
    [
        pytest.param("direct", lose_log, 60, id="log lost, offsets passed"),
        pytest.param(
            "spark", lose_log, 60, id="log lost, offsets passed, spark", marks=pytest.mark.long
        ),
        pytest.param("direct", lose_log, 20, id="log lost", marks=pytest.mark.long),
        pytest.param(
            "direct", make_topic_anew, 60, id="topic anew, offsets passed", marks=pytest.mark.long
        ),
        pytest.param("direct", make_topic_anew, 20, id="topic anew", marks=pytest.mark.long),
    ],
    indirect=["own"],
)
def test_a_position_in_a_replaced_log_is_refused_and_a_reset_serves_every_new_trade(
    stack: Settings, own: Settings, replace_log: Callable[[Settings, Settings], None], count: int
) -> None:
    """The driver stopped after 40 records; then Kafka lost them."""
    with store_of(own) as store:
        send(own, trades(own, 0, 40, price=100))
        assert run_until_read(own) == 0
        replace_log(stack, own)
        send(own, trades(own, 5, count, price=200))

        driver = SpeedProcess.start(own)
        assert driver.process.wait(READ_WITHIN_S) == ConfigError.exit_code
        report = last_word(driver)
        assert report.code == ConfigError.exit_code
        assert '"Offsets given out anew" in docs/RUNBOOK.md' in report.message
        assert set(seconds(own, store)) == {0}

        reset_position(own, ResetTo.START)
        assert run_until_read(own) == 0

        served = seconds(own, store)
        assert (served[0].trades, served[0].open) == (40, 100.0)
        assert (served[5].trades, served[5].volume) == (count, 10.0 * count)


def newest_beat(own: Settings) -> Heartbeat:
    beat = newest(own.kafka, own.topic)
    assert beat is not None
    return beat


@pytest.mark.parametrize(
    "own", [pytest.param("spark", marks=pytest.mark.long), "direct"], indirect=True
)
def test_a_position_in_the_same_log_is_accepted(own: Settings) -> None:
    """The heartbeat names the topic's id and the last record that was read of each partition."""
    send(own, trades(own, 0, 40, price=100))

    with store_of(own):
        assert run_until_read(own) == 0

    beat = newest_beat(own)
    assert beat.log.topic_id == topic_id(own.kafka, own.topic)
    read = {part: offset - 1 for part, offset in beat.offsets.items() if offset}
    assert {part: record.offset for part, record in beat.log.records.items()} == read
    assert list(read.values()) == [39]
    require_same_log(own, beat.log, beat.offsets)


@pytest.mark.long
def test_a_driver_whose_topic_is_made_anew_while_it_runs_ends_with_78(
    stack: Settings, own: Settings
) -> None:
    """It would read on at its offset, and skip the new records before it."""
    with store_of(own), running(own) as driver:
        send(own, trades(own, 0, 40, price=100))
        read_all(driver, own)
        make_topic_anew(stack, own)
        send(own, trades(own, 5, 60, price=200))

        assert driver.process.wait(READ_WITHIN_S) == ConfigError.exit_code

    assert '"Offsets given out anew" in docs/RUNBOOK.md' in last_word(driver).message
