"""The lease: the right to write as the speed layer, which one driver holds at a time.

It is a transactional producer of Kafka: whoever initialises the layer's transactional id fences
every earlier holder, on whatever host, frozen or alive. No clock and no file decides. Each
heartbeat is a transaction, so a beat that was committed is the check that the lease was held.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from truetape.broker.topics import HEARTBEAT
from truetape.broker.transactions import TransactionalProducer
from truetape.host.errors import FencedError, LeaseLostError, TransientError
from truetape.host.settings import Settings
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import Board
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, newest
from truetape.speed.record_json import encode
from truetape.speed.takeover import Succession, succeed

COMMIT_WITHIN_S = 30.0
"""Longest wait for one transaction; a broker that restarts is back sooner."""
TRANSACTION_TIMEOUT_MS = 10_000
"""After so long the broker aborts what a frozen driver left open; readers wait for that."""
_REQUEST_TIMEOUT_MS = 10_000
_RETRY_MS = 10
"""The library's 100 ms would be waited after most transactions, which take 10."""


class Lease:
    """A lease that is held, until `beat` raises LeaseLostError. Threads may share it.

    `succession` is what was taken over. After any failure it cannot be used again: the driver ends
    and its successor takes the lease anew.
    """

    def __init__(
        self, producer: TransactionalProducer, beat: Heartbeat, succession: Succession
    ) -> None:
        self.succession = succession
        self._taken_s = time.monotonic()
        self._producer = producer
        self._beat = beat
        self._failure: TransientError | None = None
        self._lock = threading.Lock()

    @classmethod
    def take(
        cls, settings: Settings, board: Board, order: int, first_batch: Callable[[], int]
    ) -> Self:
        """Fence every other driver of the layer and become the holder.

        `first_batch` says which batch this driver begins with; it is asked when no other one can
        finish a batch any more.
        TransientError when Kafka does not answer; LeaseLostError when another one took it
        meanwhile.
        """
        producer = _producer_of(settings)
        last = newest(settings.kafka, board.layer)
        succession = succeed(last, board.refresh().ends, first_batch())
        now, driver = time.time_ns(), Driver.this()
        beat = Heartbeat(board.layer, succession.last + 1, driver, order, now, now)
        lease = cls(producer, beat, succession)
        lease.beat(suspects=succession.suspects)
        return lease

    @property
    def epoch(self) -> int:
        """Return the ordinal of this holder."""
        return self.succession.last + 1

    @property
    def unsettled(self) -> tuple[Span, ...]:
        """Return the bars whose write was announced and not confirmed."""
        return self._beat.writing

    def beat(self, **news: Any) -> None:
        """Commit a heartbeat with these fields changed. When it returns, the lease was held.

        LeaseLostError when it is not; TransientError when Kafka did not answer, then nobody knows.
        """
        with self._lock:
            beat = replace(self._beat, beat_ns=time.time_ns(), **news)
            self._commit(beat)
            self._beat = beat

    def wait(self, seconds: float) -> None:
        """Wait until the lease has been held for so long."""
        time.sleep(max(0.0, self._taken_s + seconds - time.monotonic()))

    def close(self) -> None:
        """Let go of the connection; the lease stays with this driver until another takes it."""
        if self._failure is None:
            self._producer.close(COMMIT_WITHIN_S)

    def _commit(self, beat: Heartbeat) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._producer.commit(HEARTBEAT, beat.layer.encode(), encode(beat), COMMIT_WITHIN_S)
        except FencedError:
            self._failure = LeaseLostError(
                f"another driver took the lease of {beat.layer}, or the broker closed a "
                f"transaction that stayed open; epoch {self.epoch} must not write any more"
            )
            raise self._failure from None
        except TransientError as error:
            self._failure = TransientError(f"Kafka did not confirm the lease: {error}")
            raise self._failure from error


def revoke(settings: Settings) -> None:
    """Take the lease and leave it to nobody: no running driver can write another batch.

    Raise TransientError if Kafka does not answer.
    """
    _producer_of(settings).close(COMMIT_WITHIN_S)


def _producer_of(settings: Settings) -> TransactionalProducer:
    """Return a producer that has fenced all earlier ones with the layer's transactional id."""
    try:
        return TransactionalProducer.open(
            settings.kafka,
            f"truetape-speed-{settings.topic}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_block_ms=int(COMMIT_WITHIN_S * 1_000),
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            retry_backoff_ms=_RETRY_MS,
        )
    except FencedError:
        raise LeaseLostError(
            f"another driver takes the lease of {settings.topic} just now"
        ) from None
