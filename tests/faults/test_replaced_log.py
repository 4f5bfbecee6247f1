"""Offsets that Kafka gives to other records, and the speed layer: it refuses them, then goes on."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.drivers import READ_WITHIN_S, last_word, read_all, running, store_of
from support.loop import own_settings, send
from support.replaced_log import lose_log, make_topic_anew
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.store import BarStore
from truetape.speed.progress import checkpoint_for
from truetape.speed.read_log import read_log_file, require_same_log
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
def own(stack: Settings, tmp_path: Path) -> Iterator[Settings]:
    yield own_settings(stack, tmp_path, partitions=2, speed_lateness_s=3_600)
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
    ("replace_log", "count"),
    [
        pytest.param(lose_log, 60, id="log lost, offsets passed"),
        pytest.param(lose_log, 20, id="log lost", marks=pytest.mark.long),
        pytest.param(make_topic_anew, 60, id="topic anew, offsets passed", marks=pytest.mark.long),
        pytest.param(make_topic_anew, 20, id="topic anew", marks=pytest.mark.long),
    ],
)
def test_a_checkpoint_of_a_replaced_log_is_refused_and_a_new_one_serves_every_new_trade(
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

        begin_anew(own)
        assert run_until_read(own) == 0

        served = seconds(own, store)
        assert (served[0].trades, served[0].open) == (40, 100.0)
        assert (served[5].trades, served[5].volume) == (count, 10.0 * count)


def begin_anew(own: Settings) -> None:
    """Move the checkpoint and the files beside it away, as the runbook says."""
    folder = checkpoint_for(own)
    for path in folder.parent.glob(f"{folder.name}*"):
        shutil.move(path, folder.parent / f"away-{path.name}")


def test_a_checkpoint_of_the_same_log_is_accepted(own: Settings) -> None:
    require_same_log(own)
    send(own, trades(own, 0, 40, price=100))

    with store_of(own):
        assert run_until_read(own) == 0

    assert read_log_file(own).exists()
    require_same_log(own)
