"""Sends payloads to Kafka as they were received, once, in order of each key. Decodes nothing.

Idempotent and acknowledged by all replicas; no transactions, so that offsets stay contiguous and
completeness can be counted.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from truetape.broker.clients import open_producer, transient
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from truetape.feeds.simulator import Record


def send_all(bootstrap: str, topic: str, records: "Iterable[Record]") -> int:
    """Send records, each as soon as it comes; return how many were acknowledged.

    TransientError where a delivery failed; see `Producer`.
    """
    with Producer(bootstrap) as producer:
        for one in records:
            producer.send(topic, one.key, one.payload, one.feed, one.received_ns)
        return producer.flush()


class Producer:
    """An idempotent producer. Use it as a context manager, or `close` it."""

    def __init__(self, bootstrap: str, client: "KafkaProducer | None" = None) -> None:
        """Connect to `bootstrap` ("host:port,…"); TransientError where no broker answers."""
        self._bootstrap = bootstrap
        self._client = _connect(bootstrap) if client is None else client
        self._failure: BaseException | None = None
        self._acknowledged = 0

    def send(
        self,
        topic: str,
        key: str | None,
        payload: bytes,
        feed: str,
        received_ns: int | None = None,
    ) -> None:
        """Queue one payload, bytes untouched; headers are `feed` and, where known, `received_ns`.

        Blocks while the buffer is full. A failed delivery is raised by the next `flush`.
        """
        headers = [("feed", feed.encode())]
        if received_ns is not None:
            headers.append(("received_ns", str(received_ns).encode()))
        with transient(f"Kafka at {self._bootstrap}: cannot send"):
            future = self._client.send(
                topic, value=payload, key=key.encode() if key is not None else None, headers=headers
            )
        future.add_callback(self._count)
        future.add_errback(self._fail)

    def flush(self, timeout_s: float = 60.0) -> int:
        """Wait until everything sent is acknowledged; return how many were since the start.

        TransientError where a delivery failed or none was known in time.
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
            self._client.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count(self, _: object) -> None:
        self._acknowledged += 1

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure


def _connect(bootstrap: str) -> "KafkaProducer":
    with transient(f"Kafka at {bootstrap}: no broker answers"):
        return open_producer(bootstrap)
