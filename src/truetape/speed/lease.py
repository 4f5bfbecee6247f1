"""The lease: the right to write as the speed layer, which one driver holds at a time.

It is a transactional producer of Kafka: once a driver initialises the layer's transactional id, the
broker refuses every earlier holder, on any host, frozen or alive. No clock or file decides. Each
heartbeat is a transaction, so a committed heartbeat proves that the lease was held.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from truetape.broker.record_json import encode
from truetape.broker.topics import HEARTBEAT
from truetape.broker.transactions import TransactionalProducer
from truetape.host.errors import ConfigError, FencedError, LeaseLostError, TransientError
from truetape.host.settings import Settings
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, newest
from truetape.speed.takeover import Takeover, take_over

COMMIT_WITHIN_S = 30.0
"""Longest wait for one transaction; a broker that restarts is back sooner."""
TRANSACTION_TIMEOUT_MS = 10_000
"""After so long the broker aborts the open transaction of a frozen driver; readers wait for it."""
_REQUEST_TIMEOUT_MS = 10_000
_RETRY_MS = 2
"""A transaction takes 10 ms, also right after another one; with 10 ms that takes 20, with the
library's 100 ms most of them wait longer."""


class Committer(Protocol):
    """What a lease needs of its transactional producer."""

    def commit(self, topic: str, key: bytes, value: bytes, within_s: float) -> None:
        """Commit one record. Raise FencedError if a later producer took over."""

    def close(self, timeout_s: float | None = None) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The driver's clocks: the time of day, and seconds that only grow."""

    now_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic


CLOCK = Clock()


class Lease:
    """A lease that is held, until `beat` raises LeaseLostError. Threads may share it.

    `takeover` is what was inherited. A lease that failed cannot be used again: the driver ends and
    its successor takes the lease.
    """

    def __init__(
        self, producer: Committer, beat: Heartbeat, takeover: Takeover, clock: Clock = CLOCK
    ) -> None:
        self.takeover = takeover
        self._clock = clock
        self._taken_s = clock.monotonic_s()
        self._producer = producer
        self._beat = beat
        self._failure: TransientError | None = None
        self._lock = threading.Lock()

    @classmethod
    def take(
        cls,
        settings: Settings,
        records: ControlRecords,
        command: int,
        *,
        must_read_last: bool = True,
    ) -> Self:
        """Take the lease from every other driver of the layer; see `begin`.

        Raise TransientError if Kafka does not answer, ConfigError if another version wrote the last
        heartbeat, unless it need not be read.
        """
        producer = _producer_of(settings)
        try:
            last = newest(settings.kafka, records.layer)
        except ConfigError:
            if must_read_last:
                raise
            last = None
        return cls.begin(producer, last, records, command, driver=Driver.this())

    @classmethod
    def begin(
        cls,
        producer: Committer,
        last: Heartbeat | None,
        records: ControlRecords,
        command: int,
        *,
        driver: Driver,
        clock: Clock = CLOCK,
    ) -> Self:
        """Commit the first heartbeat of a holder whose producer has taken the lease.

        `last` is the newest heartbeat after that: no other driver can commit a later position.
        Raise LeaseLostError if another driver took the lease meanwhile.
        """
        takeover = take_over(last, records.refresh().exit_reports)
        now = clock.now_ns()
        beat = Heartbeat(
            records.layer, takeover.last + 1, driver, command, now, now,
            position=takeover.position, log=takeover.log,
        )  # fmt: skip
        lease = cls(producer, beat, takeover, clock)
        lease.beat(unfinished_writes=takeover.unfinished)
        return lease

    @property
    def epoch(self) -> int:
        """Return the ordinal of this holder."""
        return self.takeover.last + 1

    @property
    def unconfirmed(self) -> tuple[Span, ...]:
        """Return the bars whose write was announced and not confirmed."""
        return self._beat.writing

    @property
    def held_s(self) -> float:
        """Return for how many seconds the lease has been held."""
        return self._clock.monotonic_s() - self._taken_s

    def beat(self, **changes: Any) -> None:
        """Commit a heartbeat with these fields changed. If it returns, the lease was held.

        Raise LeaseLostError if it is not held any more. Raise TransientError if Kafka does not
        answer; then nobody knows.
        """
        with self._lock:
            beat = replace(self._beat, beat_ns=self._clock.now_ns(), **changes)
            self._commit(beat)
            self._beat = beat

    def close(self) -> None:
        """Disconnect; the lease stays with this driver until another one takes it."""
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
    """Return a producer that has taken the layer's transactional id from all earlier ones."""
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
            f"another driver is taking the lease of {settings.topic} at this moment"
        ) from None
