"""Kafka transactions: records that are committed together, by one producer at a time.

Decides nothing; knows no topic of its own.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from truetape.broker import clients
from truetape.host.errors import FencedError, TransientError

if TYPE_CHECKING:
    from kafka import KafkaProducer


class TransactionalProducer:
    """A producer that fences every earlier producer with its transactional id, on any host.

    FencedError means that a later one did the same to it. After any other error the state of the
    transaction is unknown; build a new producer.
    """

    def __init__(self, client: "KafkaProducer", transactional_id: str) -> None:
        self._client = client
        self._id = transactional_id

    @classmethod
    def open(
        cls,
        bootstrap: str,
        transactional_id: str,
        *,
        transaction_timeout_ms: int,
        max_block_ms: int = 60_000,
        request_timeout_ms: int = 30_000,
        retry_backoff_ms: int = 100,
    ) -> Self:
        """Connect and fence all earlier producers with this id.

        The broker aborts a transaction that stays open for `transaction_timeout_ms`. Raise
        TransientError if Kafka does not answer.
        """
        with _translated(f"cannot open transactions of {transactional_id} at {bootstrap}"):
            client = clients.open_transactional_producer(
                bootstrap,
                transactional_id,
                transaction_timeout_ms=transaction_timeout_ms,
                max_block_ms=max_block_ms,
                request_timeout_ms=request_timeout_ms,
                retry_backoff_ms=retry_backoff_ms,
            )
            client.init_transactions()
        return cls(client, transactional_id)

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Commit what the block sends; nothing is committed if it raises."""
        with _translated(f"no transaction of {self._id}"):
            self._client.begin_transaction()
            yield self
            self._client.commit_transaction()

    def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queue a record of the open transaction."""
        self._client.send(topic, partition=partition, key=key, value=value, headers=list(headers))

    def send_offsets(self, group: str, topic: str, ends: Mapping[int, int]) -> None:
        """Commit the next offset of each partition for a group, with the open transaction."""
        from kafka.structs import OffsetAndMetadata, TopicPartition

        offsets = {
            TopicPartition(topic, partition): OffsetAndMetadata(end, "", -1)
            for partition, end in ends.items()
        }
        self._client.send_offsets_to_transaction(offsets, group)

    def commit(self, topic: str, key: bytes, value: bytes, within_s: float) -> None:
        """Commit one record, to partition 0, in a transaction of its own.

        Raise TransientError if the commit is not confirmed in time; it may still happen then.
        """

        def work() -> None:
            with self.transaction():
                self.send(topic, value, key=key, partition=0)

        _within(work, within_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Disconnect; the id stays with this producer until another one takes it."""
        self._client.close(timeout=timeout_s)


@contextmanager
def _translated(action: str) -> Iterator[None]:
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        if _is_fencing(error):
            raise FencedError(f"{action}: another producer took it over") from None
        raise TransientError(f"{action}: {error!r}") from error


def _is_fencing(error: Exception) -> bool:
    """True if a producer failed because it is fenced.

    If the sender thread learns of that first, the next call raises an error of the base class that
    only names the real one.
    """
    from kafka.errors import KafkaError, ProducerFencedError

    if isinstance(error, ProducerFencedError):
        return True
    return type(error) is KafkaError and ProducerFencedError.__name__ in str(error)


def _within(work: Callable[[], None], seconds: float) -> None:
    """Run `work`, which has no bound of its own, in a thread."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except TransientError as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    try:
        done.result(seconds)
    except TimeoutError:
        raise TransientError(f"Kafka did not confirm within {seconds:.0f} s") from None
