"""The heartbeat: what the streaming driver says about itself, on a topic of its own.

Read from the tail: only the newest record matters. This room's only use of kafka-python.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from truetape.errors import TransientError
from truetape.topics import HEARTBEAT

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One report of the driver. Offsets are the next ones to be read, by partition."""

    application: str
    host: str
    pid: int
    state: str
    batch: int
    beat_ns: int
    rows_per_s: float
    offsets: Mapping[str, int]
    lag: Mapping[str, int]
    watermark: str
    fences: Mapping[str, int]
    written: int
    fenced: int
    rejected: int

    @property
    def total_lag(self) -> int:
        """Return how many records Kafka holds that the driver has not read."""
        return sum(self.lag.values())

    def encode(self) -> bytes:
        """Return the record value."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a record value that `encode` wrote."""
        return cls(**json.loads(value))


class HeartbeatTopic:
    """Writes heartbeats and reads the newest one."""

    def __init__(self, bootstrap: str) -> None:
        from kafka import KafkaProducer

        self._bootstrap = bootstrap
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks=1)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Send one heartbeat; does not wait, a lost one is followed by the next."""
        self._producer.send(HEARTBEAT, partition=0, value=heartbeat.encode())

    def close(self) -> None:
        """Send what is left and let go of the connection."""
        self._producer.flush(timeout=_TIMEOUT_S)
        self._producer.close(timeout=_TIMEOUT_S)


def newest(bootstrap: str) -> Heartbeat | None:
    """Return the newest heartbeat, None when there is none; TransientError without an answer."""
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    partition = TopicPartition(HEARTBEAT, 0)
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        try:
            consumer.assign([partition])
            first = consumer.beginning_offsets([partition])[partition]
            end = consumer.end_offsets([partition])[partition]
            if first == end:
                return None
            consumer.seek(partition, max(first, end - 3))
            last = None
            for _ in range(int(_TIMEOUT_S)):
                for record in consumer.poll(timeout_ms=1_000).get(partition, []):
                    last = record.value
                if consumer.position(partition) >= end:
                    break
            return Heartbeat.decode(last) if last is not None else None
        finally:
            consumer.close()
    except KafkaError as error:
        raise TransientError(f"cannot read {HEARTBEAT} at {bootstrap}: {error}") from error
