"""The demo: a simulated session through the real loop, in a home of its own that starts empty.

Shows nothing itself; `demo_commands` prints what the steps return.
"""

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from truetape import calendars
from truetape.feeds.producer import Producer
from truetape.feeds.simulator import Plan, SimulatedSession, simulate
from truetape.feeds.simulator_faults import Trouble
from truetape.local import influxd, stack
from truetape.local.loop import SessionOutcome, settle
from truetape.local.replay import READ_WITHIN_S
from truetape.local.speed_process import SpeedProcess, end_offsets
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.serving.store import BarStore, ServedBar, open_store
from truetape.settings import Settings
from truetape.venues import venues

VENUE = "XNYS"
SYMBOLS = ("IBM", "MSFT", "AAPL", "SPY", "KO")
KAFKA, INFLUX_PORT = "127.0.0.1:19192", 18186

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Changed:
    """A bar that publication changed, and the troubles that lie inside it."""

    resolution: Resolution
    before: ServedBar | None
    after: ServedBar | None
    troubles: tuple[Trouble, ...]


def demo_settings(base: Settings) -> Settings:
    """Return settings of a home and ports of its own; embedded where there is no influxd."""
    home = base.home / "demo"
    has_influxd = influxd.find(base) is not None
    return dataclasses.replace(
        base,
        home=home,
        lake=str(home / "lake"),
        kafka=KAFKA,
        influx_external=False,
        influx_url=f"http://127.0.0.1:{INFLUX_PORT}",
        influx_token_file=home / "secrets" / "influx-token",
        store="influx" if has_influxd else "embedded",
        bucket_set="history",
        profile="sip",
        feeds=("truetape",),
    )


def start(settings: Settings, report: Report) -> BarStore:
    """Stop an earlier demo, empty its home and start the servers anew."""
    if settings.home.exists():
        stack.down(settings, report)
        shutil.rmtree(settings.home)
    stack.up(settings, report=report)
    store = open_store(settings)
    store.ensure_buckets()
    return store


def simulated(seed: int, seconds: float, trades: int) -> tuple[Session, SimulatedSession]:
    """Make the last minutes of the newest session that is over, closing auction included."""
    session = last_session(datetime.now(UTC).date())
    opens, closes = session.open_ns or session.start_ns, session.close_ns or session.end_ns
    length = (closes - opens) / SECOND_NS
    plan = Plan(
        day=session.date,
        venue=VENUE,
        seed=seed,
        symbols=SYMBOLS,
        trades=trades,
        offset_s=length - seconds,
        duration_s=seconds,
    )
    return session, simulate(plan)


def last_session(today: date) -> Session:
    """Return the newest regular session before today."""
    days = calendars.sessions(
        venues()[VENUE], today - timedelta(days=10), today - timedelta(days=1)
    )
    return [session for session in days if session.open_ns is not None][-1]


def stream(
    settings: Settings, made: SimulatedSession, speed: float, watch: Callable[[], None]
) -> None:
    """Send the session `speed` times as fast as it happened while the speed layer serves it.

    Calls `watch` twice a second until everything that was sent has been read.
    """
    driver = SpeedProcess.start(settings)
    try:
        driver.wait_until_ready()
        sender = threading.Thread(target=_send, args=(settings, made, speed), daemon=True)
        sender.start()
        while sender.is_alive():
            driver.check()
            watch()
            sender.join(0.5)
        driver.wait_until_read(end_offsets(settings.kafka, settings.topic), READ_WITHIN_S)
        watch()
    finally:
        driver.stop()


def snapshot(store: BarStore, session: Session, resolution: Resolution) -> dict[object, ServedBar]:
    """Return what is served of a session now, by row."""
    rows = store.read(resolution, session.start_ns, session.end_ns, venue=session.venue)
    return {bar.key: bar for bar in rows}


def finish(settings: Settings, session: Session, report: Report) -> SessionOutcome:
    """Make the session final."""
    _, outcomes = settle(settings, [session], "demo", report)
    return outcomes[0]


def changes(
    before: dict[object, ServedBar],
    after: dict[object, ServedBar],
    resolution: Resolution,
    made: SimulatedSession,
) -> Iterator[Changed]:
    """Yield the bars whose values publication changed, with the simulator's own
    troubles in them.
    """
    for key in sorted(before.keys() | after.keys(), key=str):
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None and _values(old) == _values(new):
            continue
        bar = old or new
        if bar is None:
            continue
        inside = tuple(
            trouble
            for trouble in made.troubles
            if trouble.symbol == bar.symbol
            and bar.start_ns <= trouble.event_ns < bar.start_ns + resolution.width_ns
        )
        yield Changed(resolution, old, new, inside)


def _values(bar: ServedBar) -> tuple[float, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades)


def _send(settings: Settings, made: SimulatedSession, speed: float) -> None:
    producer = Producer(settings.kafka)
    try:
        first, begun = made.records[0].received_ns, time.monotonic()
        for record in made.records:
            due = begun + (record.received_ns - first) / 1e9 / speed
            if (ahead := due - time.monotonic()) > 0.02:
                time.sleep(ahead)
            producer.send(
                settings.topic, record.key, record.payload, record.feed, record.received_ns
            )
        producer.flush()
    finally:
        producer.close()
