"""The streaming driver as a real process: killed, starved and stopped; its bars are right."""

import dataclasses
import json
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest

from support.build import SECOND, at, trade
from support.drivers import port_of, read_all, running, store_of
from support.fault_proxy import FaultProxy, Mode
from support.loop import letters, own_settings, send, served, truth, truth_of
from support.wait import until
from truetape.broker.control_topic import ControlTopic
from truetape.broker.producer import Producer
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import NO_FAULTS, Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.market.sessions import Session
from truetape.market.trades import Trade
from truetape.pipeline.sessions import SessionOutcome, finalize_sessions
from truetape.serving.store import BarStore
from truetape.speed.control_records import ControlRecords
from truetape.speed.heartbeat import Phase
from truetape.speed.lease import Lease
from truetape.speed.reset import ResetTo, reset_position
from truetape.tour.speed_process import SpeedProcess

pytestmark = [pytest.mark.faults, pytest.mark.real]

DAYS = {"spark": date(2026, 3, 5), "direct": date(2026, 3, 9)}
TROUBLED = Faults(
    late=0.01, duplicate=0.02, cancel=0.01, correct=0.01, malformed=0.01, late_s=(70.0, 200.0)
)


LONG_ON_SPARK = pytest.mark.parametrize(
    "own", [pytest.param("spark", marks=pytest.mark.long), "direct"], indirect=True
)
"""For what the engines share: the state, the writer, the position and its check."""


@pytest.fixture(params=["spark", "direct"])
def own(request: pytest.FixtureRequest, stack: Settings, tmp_path: Path) -> Settings:
    """Settings of either engine. No simulated trade is late: late ones have tests of their own."""
    return own_settings(
        stack, tmp_path, speed_lateness_s=3_600, profile="sip", speed_engine=request.param
    )


def made_at(
    own: Settings, venue: str, faults: Faults, trades: int = 3_000
) -> tuple[Session, SimulatedSession]:
    """Simulate five minutes; each test has a venue and each engine a day of its own: all tests
    share one store, and boundaries are per venue.
    """
    day = DAYS[own.speed_engine]
    plan = SimulationPlan(
        day, venue=venue, seed=7, trades=trades, offset_s=600, duration_s=300, faults=faults
    )
    return session(venues()[venue], day), simulate(plan)


def settled(settings: Settings, day: Session) -> tuple[int, SessionOutcome]:
    """Archive, recompute and publish; return what was archived, and the session's outcome."""
    archived, outcomes = finalize_sessions(settings, [day], "tests", lambda _: None)
    for part in archived.partitions:
        assert (part.repeated, part.holes) == (0, ())
    return sum(part.records for part in archived.partitions), outcomes[0]


def is_writing(driver: SpeedProcess) -> bool:
    """True if the driver has announced a write that it has not confirmed."""
    beat = driver.heartbeat()
    return beat is not None and bool(beat.writing)


def batches(driver: SpeedProcess) -> int:
    """Return the number of the newest batch that was confirmed."""
    beat = driver.heartbeat()
    return -1 if beat is None else beat.position.batch


def test_a_driver_killed_in_mid_batch_neither_loses_nor_doubles_a_trade(own: Settings) -> None:
    """The batch hangs in its write to InfluxDB, which accepts it and does not answer."""
    day, made = made_at(own, "BATS", TROUBLED)
    half = len(made.records) // 2
    with FaultProxy(port_of(own.influx_url)) as proxy, store_of(own) as store:
        starved = dataclasses.replace(own, influx_url=proxy.url)
        with running(starved) as driver:
            send(own, made.records[:half])
            read_all(driver, own)
            proxy.set(Mode.BLACKHOLE)
            send(own, made.records[half:])
            until(lambda: is_writing(driver), within_s=30)
            driver.kill()

        with running(own) as driver:
            read_all(driver, own)
            assert driver.stop() == 0
        archived, outcome = settled(own, day)

        assert archived == len(made.records)
        assert outcome.mismatches == []
        assert served(store, day) == truth_of(made, day)


def test_kills_at_any_moment_neither_lose_nor_double_a_trade(own: Settings) -> None:
    day, made = made_at(own, "IEXG", TROUBLED)
    rnd, rounds = Random(11), 3
    size = -(-len(made.records) // rounds)
    with store_of(own) as store:
        for number in range(rounds):
            with running(own) as driver:
                part = made.records[number * size : (number + 1) * size]
                sender = trickle(own, part)
                wanted = batches(driver) + rnd.randrange(1, 5)
                until(
                    lambda reached=wanted, sender=sender, driver=driver: (
                        batches(driver) >= reached or not sender.is_alive()
                    ),
                    within_s=60,
                )
                driver.kill()
                sender.join()
        with running(own) as driver:
            read_all(driver, own)
            assert driver.stop() == 0
        archived, outcome = settled(own, day)

        assert archived == len(made.records)
        assert outcome.mismatches == []
        assert served(store, day) == truth_of(made, day)


def trickle(settings: Settings, records: Sequence[Record]) -> threading.Thread:
    """Send in the background, a few records at a time, so that they fall into many batches."""

    def work() -> None:
        for begin in range(0, len(records), 20):
            send(settings, records[begin : begin + 20])

    sender = threading.Thread(target=work)
    sender.start()
    return sender


def test_provisional_bars_are_right_and_never_replace_final_bars(own: Settings) -> None:
    """Without cancels and corrections both layers agree, despite duplicates and bad clocks."""
    faults = dataclasses.replace(NO_FAULTS, duplicate=0.05, malformed=0.02, bad_clock=0.05)
    day, made = made_at(own, "XASE", faults)
    late = late_trades(day, made)
    more = [
        Record(encode(item).encode(), "truetape", item.symbol, item.received_ns) for item in late
    ]
    with store_of(own) as store, running(own) as driver:
        send(own, made.records)
        read_all(driver, own)

        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
        assert not any(row.final for row in rows(store, day))
        assert {row.layer for row in rows(store, day)} == {"speed"}

        _, outcome = settled(own, day)
        assert (outcome.published.rev, outcome.mismatches) == (1, [])
        assert outcome.published.changes.keys() == {"confirm", "add"}
        final = rows(store, day)
        assert all(row.final and row.layer == "batch" for row in final)

        send(own, [*made.records[:500], *more])
        read_all(driver, own)
        assert rows(store, day) == final
        beat = driver.heartbeat()
        assert beat is not None
        assert beat.fenced > 0
        assert driver.stop() == 0

        settled(own, day)
        assert served(store, day) == truth([*made.truth.events, *late], day)
        assert {row.rev for row in rows(store, day)} == {1, 2}


def late_trades(day: Session, made: SimulatedSession) -> list[Trade]:
    """Trades of two symbols that reach Kafka when the session is final; one symbol is new.

    They were received in time, so the speed layer counts them. At a price of that session: the gate
    would take a leap for a corporate action.
    """
    ibm = (one for one in made.truth.events if isinstance(one, Trade) and one.symbol == "IBM")
    price = str(next(ibm).price)
    event_ns = (day.open_ns or 0) + 700 * SECOND
    return [
        trade(
            price,
            "100",
            symbol=symbol,
            venue=day.venue,
            id="late-1",
            event_ns=event_ns,
            received_ns=event_ns + SECOND,
        )
        for symbol in ("IBM", "KO")
    ]


def rows(store: BarStore, day: Session) -> list[object]:
    return [
        row
        for resolution in STREAMED
        for row in store.read(resolution, day.start_ns, day.end_ns, venue=day.venue)
    ]


@LONG_ON_SPARK
def test_a_driver_survives_an_absent_influxdb(own: Settings) -> None:
    """It waits and continues, or it ends with 75 and its successor writes the missing bars."""
    day, made = made_at(own, "XNAS", NO_FAULTS, trades=1_000)
    half = len(made.records) // 2
    with FaultProxy(port_of(own.influx_url)) as proxy, store_of(own) as store:
        starved = dataclasses.replace(own, influx_url=proxy.url)
        with running(starved) as driver:
            send(own, made.records[:half])
            read_all(driver, own)
            proxy.set(Mode.REFUSE)
            send(own, made.records[half:])
            until(lambda: is_writing(driver), within_s=30)
            proxy.set(Mode.PASS)
            try:
                read_all(driver, own)
                assert driver.stop() == 0
            except TransientError:
                assert driver.process.wait(60) == 75
                with running(starved) as successor:
                    read_all(successor, own)
                    assert successor.stop() == 0

        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


def test_a_driver_whose_influxdb_stays_away_ends_with_75(own: Settings) -> None:
    _, made = made_at(own, "ARCX", NO_FAULTS, trades=100)
    away = dataclasses.replace(own, influx_url="http://127.0.0.1:9", write_attempts=2)
    with running(away) as driver:
        send(own, made.records)

        assert driver.process.wait(120) == 75

    assert "InfluxDB" in driver.log.read_text()


FAR = "2098-01-02T15:00:00Z"


def send_future(own: Settings) -> None:
    """Send three trades of 2098: without a receipt time, with one of its own, with one recorded."""
    line = {"kind": "trade", "symbol": "IBM", "venue": "XNYS", "id": "1", "price": "1", "size": "1"}
    plain = json.dumps({**line, "event_time": FAR}).encode()
    stated = json.dumps({**line, "event_time": FAR, "received_time": FAR}).encode()
    with Producer(own.kafka) as producer:
        for payload, header in ((plain, None), (stated, None), (plain, 2**63 - 1)):
            producer.send(own.topic, "IBM", payload, "truetape", header)


@LONG_ON_SPARK
def test_a_record_of_the_future_moves_no_watermark_and_becomes_no_trade(own: Settings) -> None:
    """Everything after it is served, archived and published; it is a dead letter."""
    day, made = made_at(own, "FINNHUB", NO_FAULTS, trades=1_000)
    half = len(made.records) // 2
    with store_of(own) as store:
        with running(own) as driver:
            send(own, made.records[:half])
            send_future(own)
            read_all(driver, own)
            send(own, made.records[half:])
            read_all(driver, own)
            beat = driver.heartbeat()
            assert beat is not None
            assert beat.position.watermark is not None
            assert beat.position.watermark < datetime(2026, 3, 12, tzinfo=UTC)
            assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
            assert driver.stop() == 0
        _, outcome = settled(own, day)

        assert outcome.mismatches == []
        assert served(store, day) == truth_of(made, day)
    reasons = Counter(letter.headers["reason"] for letter in letters(own))
    assert reasons == {"future-event-time": 1, "future-receipt-time": 2}


@LONG_ON_SPARK
def test_a_watermark_beyond_the_clock_is_refused_until_it_is_reset(own: Settings) -> None:
    """As if the broker's clock had been wrong: windows are closed up to 2098."""
    day, made = made_at(own, "COINBASE", NO_FAULTS, trades=1_000)
    half = len(made.records) // 2
    with store_of(own) as store:
        with running(own) as driver:
            send(own, made.records[:half])
            read_all(driver, own)
            assert driver.stop() == 0
        with ControlTopic(own.kafka) as control:
            lease = Lease.take(own, ControlRecords(control, own.topic), 0)
            position = lease.takeover.position
            moved = {
                part: dataclasses.replace(place, closed_ns=at("2098-01-02T14:00:00"))
                for part, place in position.partitions.items()
            }
            lease.beat(
                state=Phase.STOPPED, position=dataclasses.replace(position, partitions=moved)
            )
            lease.close()

        refused = SpeedProcess.start(own)
        assert refused.process.wait(120) == 78
        assert '"Watermark beyond the clock" in docs/RUNBOOK.md' in refused.log.read_text()

        reset_position(own, ResetTo.START)
        with running(own) as driver:
            send(own, made.records[half:])
            read_all(driver, own)
            assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
            assert driver.stop() == 0
