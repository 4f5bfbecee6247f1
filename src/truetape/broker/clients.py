"""Kafka clients: builds every consumer, producer and admin client, with timeouts and client ids.

Reads and writes no record.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.admin import KafkaAdminClient

# kafka-python logs every connection and rebalance: in a task's log the lines that matter drown
logging.getLogger("kafka").setLevel(logging.WARNING)

MAX_RECORD_BYTES = 16_777_216
"""Largest record that a topic of trades accepts. A payload beyond every limit still becomes a dead
letter with its bytes, so it must fit through Kafka."""

CONNECT_WITHIN_MS = 10_000
"""How long a consumer tries to reach a first broker; the library's 30 s are too long for whoever
waits for an answer."""

LISTENER_WITHIN_S = 1.0
"""How long `require_listener` waits for a server to accept a connection."""
FETCH_BYTES = 1_048_576
ADMIN_REQUEST_MS = 10_000
_ADMIN_CONNECT_MS = 5_000

_MAX_REQUEST_BYTES = 16_000_000
"""Largest request of a producer; the topic's own limit decides what a broker accepts."""
_BATCH_BYTES = 131_072
_LINGER_MS = 5
"""How long a batch waits for more records: throughput against a few milliseconds of freshness."""
_MAX_BLOCK_MS = 30_000
_BULK_FETCH_BYTES = 52_428_800
_BULK_POLL_BATCHES = 100


def require_listener(bootstrap: str) -> None:
    """Raise TransientError if no bootstrap server accepts a connection at once.

    For whoever cannot wait as long as a Kafka client: a page, a process that is about to end.
    """
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), LISTENER_WITHIN_S):
            return
    raise TransientError(f"no Kafka server accepts a connection at {bootstrap}")


@contextmanager
def transient(action: str) -> Iterator[None]:
    """Raise TransientError "`action`: ..." for an error of Kafka in the block."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise TransientError(f"{action}: {error}") from error


def open_consumer(
    bootstrap: str,
    *,
    committed_only: bool = False,
    group: str | None = None,
    fetch_bytes: int = FETCH_BYTES,
) -> "KafkaConsumer":
    """Connect a consumer that reads assigned partitions and commits no offset by itself.

    `committed_only` hides records of open and aborted transactions. `group` gives access to the
    offsets that were committed under that name. `fetch_bytes` is how much of a partition one
    request returns; the first batch of records is returned whole, whatever its size.
    """
    from kafka import KafkaConsumer

    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="truetape-reader",
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed" if committed_only else "read_uncommitted",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=fetch_bytes,
        bootstrap_timeout_ms=CONNECT_WITHIN_MS,
    )


def open_bulk_consumer(bootstrap: str) -> "KafkaConsumer":
    """Connect a consumer that reads committed records of assigned partitions in large portions.

    It returns whole batches of records, see `whole_batches`. It never goes to another offset by
    itself: an offset that Kafka does not have is an error.
    """
    from kafka import KafkaConsumer

    from truetape.broker.whole_batches import return_batches

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="truetape-bulk-reader",
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        fetch_max_bytes=_BULK_FETCH_BYTES,
        max_partition_fetch_bytes=_BULK_FETCH_BYTES // 4,
        max_poll_records=_BULK_POLL_BATCHES,
        bootstrap_timeout_ms=CONNECT_WITHIN_MS,
    )
    return_batches(consumer)
    return consumer


def open_producer(bootstrap: str) -> "KafkaProducer":
    """Connect an idempotent producer whose records all replicas acknowledge."""
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=bootstrap,
        client_id="truetape-producer",
        enable_idempotence=True,
        acks="all",
        linger_ms=_LINGER_MS,
        batch_size=_BATCH_BYTES,
        max_request_size=_MAX_REQUEST_BYTES,
        max_block_ms=_MAX_BLOCK_MS,
        allow_auto_create_topics=False,
    )


def open_transactional_producer(
    bootstrap: str,
    transactional_id: str,
    *,
    transaction_timeout_ms: int,
    max_block_ms: int,
    request_timeout_ms: int,
    retry_backoff_ms: int,
) -> "KafkaProducer":
    """Connect a producer for transactions; it fences nobody before `init_transactions`."""
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=transactional_id,
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_request_size=MAX_RECORD_BYTES,
        max_block_ms=max_block_ms,
        request_timeout_ms=request_timeout_ms,
        retry_backoff_ms=retry_backoff_ms,
        allow_auto_create_topics=False,
    )


def open_admin(bootstrap: str) -> "KafkaAdminClient":
    """Connect an admin client; use it as a context manager."""
    from kafka.admin import KafkaAdminClient

    return KafkaAdminClient(
        bootstrap_servers=bootstrap,
        client_id="truetape-admin",
        request_timeout_ms=ADMIN_REQUEST_MS,
        bootstrap_timeout_ms=_ADMIN_CONNECT_MS,
    )


class Connection:
    """A consumer that connects at its first use and stays connected; a context manager."""

    def __init__(
        self, bootstrap: str, *, committed_only: bool = False, fetch_bytes: int = FETCH_BYTES
    ) -> None:
        self.bootstrap = bootstrap
        self._committed_only = committed_only
        self._fetch_bytes = fetch_bytes
        self._consumer: KafkaConsumer | None = None

    def consumer(self) -> "KafkaConsumer":
        """Return the connected consumer. Raise a KafkaError if no broker answers."""
        if self._consumer is None:
            self._consumer = open_consumer(
                self.bootstrap, committed_only=self._committed_only, fetch_bytes=self._fetch_bytes
            )
        return self._consumer

    def close(self) -> None:
        """Disconnect; the next use connects again."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
