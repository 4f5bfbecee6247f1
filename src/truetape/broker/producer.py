"""Sends payloads to Kafka as they were received, once, in order of each key. Decodes nothing.

Idempotent and acknowledged by all replicas; no transactions, so that offsets stay contiguous and
completeness can be counted.
"""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Self

from truetape.broker.clients import open_producer, transient
from truetape.feeds.records import Record, at_speed
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaProducer

MAX_IN_FLIGHT_BYTES = 67_108_864
"""Most bytes of payloads that wait for their acknowledgement; kafka-python has no such limit."""
ACKNOWLEDGED_WITHIN_S = 60.0
PROGRESS_EVERY = 100_000


def send_all(
    bootstrap: str,
    topic: str,
    records: Iterable[Record],
    *,
    speed: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Send records in their order; return how many were acknowledged, which is all of them.

    `speed` times as fast as they were received; None sends each record as soon as it comes.
    Connects before it takes the first record. Calls `progress` with the count after every
    `PROGRESS_EVERY` records. Raise TransientError if no broker answers or a delivery failed.
    """
    with Producer(bootstrap) as producer:
        stream = records if speed is None else at_speed(records, speed)
        for count, record in enumerate(stream, start=1):
            producer.send(topic, record.key, record.payload, record.feed, record.received_ns)
            if count % PROGRESS_EVERY == 0:
                progress(count)
        return producer.flush()


class Producer:
    """An idempotent producer. Use it as a context manager, or `close` it."""

    def __init__(
        self,
        bootstrap: str,
        client: "KafkaProducer | None" = None,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
    ) -> None:
        """Connect to `bootstrap` ("host:port,…"). Raise TransientError if no broker answers."""
        self._bootstrap = bootstrap
        self._client = _connect(bootstrap) if client is None else client
        self._max_in_flight_bytes = max_in_flight_bytes
        self._failure: BaseException | None = None
        self._acknowledged = 0
        self._in_flight_bytes = 0
        self._has_room = threading.Condition()

    def send(
        self,
        topic: str,
        key: str | None,
        payload: bytes,
        feed: str,
        received_ns: int | None = None,
    ) -> None:
        """Queue one payload, bytes untouched, with the headers `feed` and `received_ns`.

        Waits while too many bytes are in flight. The next `flush` raises a failed delivery.
        """
        headers = [("feed", feed.encode())]
        if received_ns is not None:
            headers.append(("received_ns", str(received_ns).encode()))
        self._wait_for_room(len(payload))
        with transient(f"Kafka at {self._bootstrap}: cannot send"):
            future = self._client.send(
                topic, value=payload, key=key.encode() if key is not None else None, headers=headers
            )
        future.add_callback(partial(self._on_acknowledged, len(payload)))
        future.add_errback(partial(self._on_failed, len(payload)))

    def flush(self, timeout_s: float = ACKNOWLEDGED_WITHIN_S) -> int:
        """Wait until everything is acknowledged; return how many records were since the start.

        Raise TransientError if a delivery failed, or if no answer came in time.
        """
        with transient(f"Kafka at {self._bootstrap}: not acknowledged within {timeout_s} s"):
            self._client.flush(timeout=timeout_s)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise TransientError(
                f"Kafka at {self._bootstrap}: a payload was not delivered: {failure}"
            ) from failure
        return self._acknowledged

    def close(self) -> None:
        """Flush and disconnect."""
        try:
            self.flush()
        finally:
            with transient(f"Kafka at {self._bootstrap}: not everything was acknowledged"):
                self._client.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for_room(self, size: int) -> None:
        """Add a payload to what is in flight, once there is room; one alone always has room."""
        with self._has_room:
            if not self._has_room.wait_for(
                lambda: self._in_flight_bytes + size <= max(size, self._max_in_flight_bytes),
                ACKNOWLEDGED_WITHIN_S,
            ):
                raise TransientError(
                    f"Kafka at {self._bootstrap}: {self._in_flight_bytes:,} bytes not acknowledged "
                    f"within {ACKNOWLEDGED_WITHIN_S} s"
                )
            self._in_flight_bytes += size

    def _on_acknowledged(self, size: int, _: object) -> None:
        with self._has_room:
            self._acknowledged += 1
            self._in_flight_bytes -= size
            self._has_room.notify()

    def _on_failed(self, size: int, failure: BaseException) -> None:
        with self._has_room:
            self._failure = self._failure or failure
            self._in_flight_bytes -= size
            self._has_room.notify()


def _connect(bootstrap: str) -> "KafkaProducer":
    with transient(f"Kafka at {bootstrap}: no broker answers"):
        return open_producer(bootstrap)
