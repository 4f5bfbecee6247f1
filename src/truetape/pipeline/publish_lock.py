"""The publish lock: one publication of a venue and bucket set at a time, on any host and home.

Kafka's order of records decides who has it, no clock and no file. A publisher waits for another;
only from a dead or silent one does it take the lock over. Writes no bars.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, Self

from truetape.broker.ordered_log import LogRecord, OrderedLog
from truetape.broker.record_json import decode, encode
from truetape.broker.topics import PUBLISHING
from truetape.host.errors import TransientError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.market.sessions import Session
from truetape.publish.two_phase_write import LATE_WRITE_S
from truetape.speed.driver import Driver, Life, life_of

RENEW_S = 5.0
"""How often a publisher appends a record, beside those before each write."""
_POLL_S = 0.5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LockRecord:
    """A publisher's claim, renewal or release of a lock.

    `number` counts the holders. `silent_after_s`: after so long without a record, no write of this
    publisher begins any more, unless it is frozen. `after` is the offset of the holder's record
    that a claim is based on, None for a renewal or release.
    """

    token: str
    number: int
    holder: Driver
    home: str
    session: str
    since: datetime
    silent_after_s: float
    after: int | None = None
    is_released: bool = False

    def shares_lock_file(self, other: "LockRecord") -> bool:
        """True if a lock file keeps these two publishers apart, so that the earlier one has ended.

        Its process may live on: a program that publishes several sessions.
        """
        places = [(record.home, record.holder.machine) for record in (self, other)]
        return places[0] == places[1]

    def __str__(self) -> str:
        return f"{self.home} ({self.holder}), session {self.session}, since {self.since:%F %T} UTC"


class Standing(StrEnum):
    """What a publisher that wants the lock sees of its holder."""

    FREE = "free"
    WORKING = "working"
    DEAD = "dead"
    """Its process or its publication ended without a release."""
    FROZEN = "frozen"
    """Silent, but its process lives on this machine: it may go on at any time."""
    SILENT = "silent"
    """Silent on another machine: frozen, dead or cut off from Kafka."""


@dataclass(frozen=True, slots=True)
class LockState:
    """Who has a lock, by the log up to some record. `offset` is that of its newest valid record."""

    record: LockRecord | None = None
    offset: int = -1

    def after(self, record: LockRecord, offset: int) -> "LockState":
        """Return the state after one more record; every reader of the log comes to the same one.

        A claim counts only if the holder has appended nothing since the claimant read: of several
        claims the first one counts, and none against a holder that came back.
        """
        return LockState(record, offset) if self._accepts(record) else self

    def standing(
        self, own: LockRecord, life: Callable[[Driver], Life], silent_s: float
    ) -> Standing:
        """Judge the holder for a publisher whose first record is `own`.

        `silent_s` is for how long the state has not changed.
        """
        if self.record is None or self.record.is_released:
            return Standing.FREE
        seen = life(self.record.holder)
        if seen is Life.DEAD or self.record.shares_lock_file(own):
            return Standing.DEAD
        if silent_s <= self.record.silent_after_s:
            return Standing.WORKING
        return Standing.FROZEN if seen is Life.ALIVE else Standing.SILENT

    def _accepts(self, record: LockRecord) -> bool:
        if self.record is None:
            return True
        if record.token == self.record.token:
            return not self.record.is_released
        if record.after is None:  # its claim was deleted with the oldest records of the topic
            return record.number > self.record.number
        return record.after == self.offset


class Log(Protocol):
    """What a lock needs of Kafka."""

    def append(self, key: bytes, value: bytes) -> int:
        """Append a record and return its offset."""

    def read(self, through: int | None = None) -> Iterable[LogRecord]:
        """Return the records that were not read yet, as far as `through` or to the end."""

    def close(self) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a lock knows of the machine; tests pass in their own."""

    life_of: Callable[[Driver], Life] = life_of
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


ENVIRONMENT = Environment()


class PublishLock:
    """A lock that is held until `check` raises TransientError. Threads may share it."""

    def __init__(self, log: Log, key: bytes, record: LockRecord) -> None:
        self.record = record
        self._log = log
        self._key = key
        self._state = LockState()
        self._failure: TransientError | None = None
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Append a record. If this returns, the lock was held then.

        Raise TransientError if another publisher took it, or if Kafka does not answer.
        """
        with self._mutex:
            if self._failure is not None:
                raise self._failure
            state = self._append(replace(self.record, after=None))
            if state.record is None or state.record.token != self.record.token:
                self._failure = TransientError(
                    f"another publisher, {state.record}, took the publish lock of "
                    f"{self._key.decode()} from this process, which was silent for over "
                    f"{self.record.silent_after_s:.0f} s; if a write was on the way, its rows may "
                    "have replaced newer ones: publish the session again"
                )
                raise self._failure

    def release(self) -> None:
        """Give the lock back. Raise TransientError if Kafka does not answer."""
        with self._mutex:
            if self._failure is None:
                self._append(replace(self.record, after=None, is_released=True))

    def take(self, wait_s: float, report: Report, environment: Environment = ENVIRONMENT) -> None:
        """Wait until the lock is free, or its holder is dead or silent; then take it.

        Raise TransientError if another publisher still has it after `wait_s` seconds, or at once if
        that one is frozen.
        """
        began = changed = environment.monotonic_s()
        has_reported = False
        while True:
            before, now = self._state.offset, environment.monotonic_s()
            state = self._read()
            if state.offset != before:
                changed = now
            standing = state.standing(self.record, environment.life_of, now - changed)
            if standing in (Standing.FREE, Standing.DEAD, Standing.SILENT):
                if self._claim(state, standing, report):
                    if standing is Standing.DEAD:
                        environment.sleep(LATE_WRITE_S)  # what it had sent has arrived by then
                    return
                continue
            self._require_hope(state, standing, now - began > wait_s)
            if not has_reported:
                report(f"waiting for another publisher of {self._key.decode()}: {state.record}")
                has_reported = True
            environment.sleep(_POLL_S)

    def _claim(self, state: LockState, standing: Standing, report: Report) -> bool:
        """Claim the lock; False if another claim came first, or the holder came back."""
        number = 1 if state.record is None else state.record.number + 1
        self.record = replace(self.record, number=number, after=state.offset)
        if self._append(self.record).record != self.record:
            return False
        if standing is not Standing.FREE:
            report(f"took the publish lock of {self._key.decode()} from {state.record}: {standing}")
            logger("publish").warning("took the lock", holder=str(state.record), was=standing.value)
        return True

    def _require_hope(self, state: LockState, standing: Standing, is_late: bool) -> None:
        """Raise TransientError if waiting longer for the holder makes no sense."""
        if standing is Standing.FROZEN:
            raise TransientError(
                f"another publisher, {state.record}, has the publish lock of {self._key.decode()}; "
                "it writes nothing, but its process lives on this machine; is it stopped? let it "
                'go on, or end it: see "Another home publishes" in docs/RUNBOOK.md'
            )
        if is_late:
            raise TransientError(
                f"another publisher, {state.record}, still has the publish lock of "
                f"{self._key.decode()}; let it finish, then publish again"
            )

    def _append(self, record: LockRecord) -> LockState:
        return self._read(self._log.append(self._key, encode(record)))

    def _read(self, through: int | None = None) -> LockState:
        for item in self._log.read(through):
            if item.key == self._key:
                self._state = self._state.after(decode(LockRecord, item.value), item.offset)
        return self._state


class Renewal:
    """A thread that renews a lock while its publication reads, waits or writes."""

    def __init__(self, lock: PublishLock) -> None:
        self._lock = lock
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="publish lock", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(RENEW_S):
            with suppress(TransientError):  # the next check of the publication raises it again
                self._lock.check()


@contextmanager
def publish_lock(
    settings: Settings, session: Session, *, wait_s: float, report: Report
) -> Iterator[PublishLock]:
    """Hold the publish lock of a session's venue and the bucket set for the block.

    Its name has no address: two URLs can mean one server.
    """
    key = f"{settings.bucket_set}/{session.venue}".encode()
    log = OrderedLog(settings.kafka, PUBLISHING)
    lock = PublishLock(log, key, _first_record(settings, session))
    try:
        lock.take(wait_s, report)
        try:
            with Renewal(lock):
                yield lock
        finally:
            with suppress(TransientError):  # others see that this process has ended
                lock.release()
    finally:
        log.close()


def silent_after_s(settings: Settings) -> float:
    """Return after how long without a record no write of a publisher can begin any more.

    A check stands before each request, which is sent up to `write_attempts` times.
    """
    return 2 * RENEW_S + 2 * settings.write_attempts * settings.write_timeout_s


def _first_record(settings: Settings, session: Session) -> LockRecord:
    return LockRecord(
        token=uuid.uuid4().hex,
        number=0,
        holder=Driver.this(),
        home=str(settings.home),
        session=str(session.date),
        since=datetime.now(UTC),
        silent_after_s=silent_after_s(settings),
    )
