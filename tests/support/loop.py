"""The pipeline in tests: own settings on the shared servers, records into Kafka, and the bars that
a simulated session must serve.
"""

import dataclasses
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from truetape.broker.clients import open_admin
from truetape.broker.producer import send_all
from truetape.broker.topics import ensure_topics
from truetape.feeds.records import Record
from truetape.feeds.simulator.session import SimulatedSession
from truetape.host.profiles import load
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event
from truetape.serving.store import BarStore, ServedBar

Values = tuple[str, str, int, float, float, float, float, float, float, int]
"""The values of a bar that a reader gets: symbol, venue, start, the six numbers, trades."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of `trades.rejected`: its bytes, its key, its headers as text."""

    value: bytes
    key: str | None
    headers: Mapping[str, str]


def own_settings(stack: Settings, folder: Path, **changes: object) -> Settings:
    """Return settings on the shared servers with an own home, lake and topic; create the topic."""
    own = dataclasses.replace(
        stack,
        home=folder / "home",
        lake=str(folder / "lake"),
        topic=f"trades-{secrets.token_hex(4)}",
        bucket_set="history",
        seal_delay_s=0.0,
        spark_driver_memory="2g",
    )
    own = dataclasses.replace(own, **changes)  # type: ignore[arg-type]
    own.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ensure_topics(own.kafka, own, lambda _: None)
    return own


def send(settings: Settings, records: Iterable[Record]) -> None:
    """Send records and wait until all of them are acknowledged."""
    send_all(settings.kafka, settings.topic, records)


def letters(settings: Settings) -> list[Letter]:
    """Read the dead letters of this topic's records, only committed ones."""
    from kafka import KafkaConsumer, TopicPartition

    part = TopicPartition("trades.rejected", 0)
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=32_000_000,
        fetch_max_bytes=32_000_000,
    )
    consumer.assign([part])
    consumer.seek_to_beginning(part)
    end = consumer.end_offsets([part])[part]
    received = []
    while consumer.position(part) < end:
        for record in consumer.poll(timeout_ms=500).get(part, []):
            headers = {name: value.decode() for name, value in record.headers}
            key = None if record.key is None else record.key.decode()
            received.append(Letter(record.value, key, headers))
    consumer.close()
    return [letter for letter in received if letter.headers.get("topic") == settings.topic]


def truth(
    events: Sequence[Event],
    session: Session,
    profile: str = "sip",
    resolutions: Iterable[Resolution] = tuple(Resolution),
) -> dict[Resolution, list[Values]]:
    """Fold events with the reference into the bars that a session must serve, by resolution."""
    settled = canonical(events, venues()).trades
    return {
        resolution: sorted(
            values_of(bar)
            for bar in bars(settled, load(profile), resolution, {session.venue: [session]})
            if bar.is_served and session.contains(bar.start_ns)
        )
        for resolution in resolutions
    }


def truth_of(
    made: SimulatedSession,
    session: Session,
    resolutions: Iterable[Resolution] = tuple(Resolution),
) -> dict[Resolution, list[Values]]:
    """Fold the true events of a simulated session; see `truth`."""
    return truth(made.truth.events, session, resolutions=resolutions)


def served(
    store: BarStore, session: Session, resolutions: Iterable[Resolution] = tuple(Resolution)
) -> dict[Resolution, list[Values]]:
    """Read the served bars of a session without void rows, by resolution."""
    return {
        resolution: sorted(
            served_values(bar)
            for bar in store.read(resolution, session.start_ns, session.end_ns, venue=session.venue)
            if not bar.void
        )
        for resolution in resolutions
    }


def values_of(bar: Bar) -> Values:
    """Return the values of a reference bar as floats, as the store has them."""

    def number(value: Decimal | None) -> float:
        return float(value or 0)

    return (
        bar.symbol,
        bar.venue,
        bar.start_ns,
        number(bar.open),
        number(bar.high),
        number(bar.low),
        number(bar.close),
        number(bar.volume),
        number(bar.vwap),
        bar.trades,
    )


def served_values(bar: ServedBar) -> Values:
    """Return the values of a served bar."""
    place = (bar.symbol, bar.venue, bar.start_ns)
    numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
    return (*place, *numbers, bar.trades)


def expire(own: Settings, partition: int, before: int) -> None:
    """Let Kafka drop the records of a partition below an offset, as retention does."""
    from kafka import TopicPartition

    with open_admin(own.kafka) as admin:
        admin.delete_records({TopicPartition(own.topic, partition): before})


def stamped_by(own: Settings, stamps: str) -> None:
    """Let the broker (LogAppendTime) or the producers (CreateTime) stamp the records of the topic
    from now on.
    """
    from kafka.admin import ConfigResource, ConfigResourceType

    changed = {"message.timestamp.type": stamps}
    with open_admin(own.kafka) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, own.topic, changed)])
