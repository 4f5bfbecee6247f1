"""Sends payloads to Kafka as they were received, once, in order of each key. Decodes nothing.

Idempotent and acknowledged by all replicas; no transactions, so that offsets stay contiguous and
completeness can be counted.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from truetape.host.errors import TransientError
from truetape.market.rejection import Rejected
from truetape.market.trades import Event

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from truetape.feeds.simulator import Record

MAX_REQUEST_BYTES = 16_000_000
"""Largest request; the topic's own limit decides what a broker takes."""
BATCH_BYTES = 131_072
LINGER_MS = 5
"""How long a batch waits for more: throughput against a few milliseconds of freshness."""
MAX_BLOCK_MS = 30_000


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
        from kafka.errors import KafkaError

        headers = [("feed", feed.encode())]
        if received_ns is not None:
            headers.append(("received_ns", str(received_ns).encode()))
        try:
            future = self._client.send(
                topic, value=payload, key=key.encode() if key is not None else None, headers=headers
            )
        except KafkaError as error:
            raise TransientError(f"Kafka at {self._bootstrap}: cannot send: {error}") from error
        future.add_callback(self._count)
        future.add_errback(self._fail)

    def flush(self, timeout_s: float = 60.0) -> int:
        """Wait until everything sent is acknowledged; return how many were since the start.

        TransientError where a delivery failed or none was known in time.
        """
        from kafka.errors import KafkaError

        try:
            self._client.flush(timeout=timeout_s)
        except KafkaError as error:
            raise TransientError(
                f"Kafka at {self._bootstrap}: not acknowledged within {timeout_s} s: {error}"
            ) from error
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


def symbol_of(outcomes: Iterable[Event | Rejected]) -> str | None:
    """Return the symbol to send a decoded payload under: that of its first event, if it has one."""
    return next((one.symbol for one in outcomes if not isinstance(one, Rejected)), None)


def _connect(bootstrap: str) -> "KafkaProducer":
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    try:
        return KafkaProducer(
            bootstrap_servers=bootstrap.split(","),
            client_id="truetape-producer",
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=MAX_BLOCK_MS,
            allow_auto_create_topics=False,
        )
    except KafkaError as error:
        raise TransientError(f"Kafka at {bootstrap}: no broker answers: {error}") from error
