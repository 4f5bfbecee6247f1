"""The publish lock, without Kafka: who gets it, who waits, and who must stop."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from support.memory_log import MemoryLog
from truetape.broker.ordered_log import LogRecord
from truetape.host.errors import TransientError
from truetape.pipeline.publish_lock import (
    Environment,
    LockRecord,
    LockState,
    PublishLock,
    Standing,
)
from truetape.publish.two_phase_write import LATE_WRITE_S
from truetape.speed.driver import Driver, Life

KEY = b"history/XNYS"
SILENT_S = 90.0
AT = datetime(2026, 3, 5, 21, 30, tzinfo=UTC)


def record(name: str, number: int = 1, after: int | None = None, **changes: object) -> LockRecord:
    """Return the record of a publisher that has a home and a machine of its own."""
    made = LockRecord(
        token=name,
        number=number,
        holder=Driver(f"host-{name}", f"machine-{name}", 7, "born"),
        home=f"/home/{name}",
        session="2026-03-05",
        since=AT,
        silent_after_s=SILENT_S,
        after=after,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


A = record("a").holder


class Waiting:
    """An environment whose sleep moves the clock and then does something."""

    def __init__(
        self, life: Life = Life.UNSEEN, while_waiting: Callable[[], None] = lambda: None
    ) -> None:
        self.life = life
        self.now_s = 0.0
        self.slept: list[float] = []
        self.while_waiting = while_waiting

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        self.while_waiting()

    @property
    def environment(self) -> Environment:
        return Environment(lambda _: self.life, lambda: self.now_s, self.sleep)


def lock_of(name: str, records: list[LogRecord]) -> PublishLock:
    return PublishLock(MemoryLog(records), KEY, record(name))


def in_turn(steps: list[Callable[[], None]]) -> Callable[[], None]:
    """Return a function that removes the next step and does it, once a call."""

    def work() -> None:
        steps.pop(0)()

    return work


def take(lock: PublishLock, waiting: Waiting | None = None, wait_s: float = 1_800.0) -> list[str]:
    """Take a lock and return what was reported."""
    reports: list[str] = []
    lock.take(wait_s, reports.append, (waiting or Waiting()).environment)
    return reports


def test_a_second_home_waits_until_the_first_one_has_published() -> None:
    records: list[LogRecord] = []
    first, second = lock_of("a", records), lock_of("b", records)
    take(first)
    steps = [first.check, first.check, first.release]

    reports = take(second, Waiting(while_waiting=in_turn(steps)))

    assert reports == [
        "waiting for another publisher of history/XNYS: /home/a (pid 7 on host-a), session "
        "2026-03-05, since 2026-03-05 21:30:00 UTC"
    ]
    second.check()


def test_a_second_home_gives_up_with_the_name_of_the_first_one() -> None:
    records: list[LogRecord] = []
    first, second = lock_of("a", records), lock_of("b", records)
    take(first)

    with pytest.raises(TransientError, match=r"/home/a .* still has the publish lock"):
        take(second, Waiting(while_waiting=first.check), wait_s=60)

    first.check()


def test_a_dead_holder_loses_the_lock_at_once_and_its_last_write_gets_time_to_arrive() -> None:
    records: list[LogRecord] = []
    waiting = Waiting(Life.DEAD)
    take(lock_of("a", records))

    reports = take(lock_of("b", records), waiting)

    assert waiting.slept == [LATE_WRITE_S]
    assert reports[0].endswith(": dead")


def test_a_silent_holder_on_another_machine_loses_the_lock_and_stops_at_its_next_check() -> None:
    records: list[LogRecord] = []
    first, second = lock_of("a", records), lock_of("b", records)
    waiting = Waiting()
    take(first)

    take(second, waiting)

    assert waiting.now_s > SILENT_S
    with pytest.raises(TransientError, match=r"/home/b .* publish the session again"):
        first.check()
    with pytest.raises(TransientError, match="/home/b"):
        first.check()
    first.release()
    second.check()


def test_a_frozen_holder_on_this_machine_keeps_the_lock() -> None:
    """It may go on between its check and its write, at any time."""
    records: list[LogRecord] = []
    first, second = lock_of("a", records), lock_of("b", records)
    take(first)

    with pytest.raises(TransientError, match="is it stopped"):
        take(second, Waiting(Life.ALIVE))

    first.check()


def test_a_holder_that_renews_while_others_wait_keeps_the_lock() -> None:
    records: list[LogRecord] = []
    first, second = lock_of("a", records), lock_of("b", records)
    take(first)
    steps = [first.check] * 500 + [first.release]

    take(second, Waiting(while_waiting=in_turn(steps)))

    assert steps == []


def test_a_publication_of_the_same_home_does_not_wait_for_one_that_ended_without_a_release() -> (
    None
):
    """The lock file of the home keeps the two apart, and the process may live on."""
    records: list[LogRecord] = []
    take(lock_of("a", records))
    again = PublishLock(MemoryLog(records), KEY, replace(record("again"), home="/home/a", holder=A))
    waiting = Waiting(Life.ALIVE)

    take(again, waiting)

    assert waiting.slept == [LATE_WRITE_S]


def test_locks_of_other_venues_do_not_matter() -> None:
    records: list[LogRecord] = []
    take(lock_of("a", records))
    other = PublishLock(MemoryLog(records), b"history/BATS", record("b"))

    assert take(other) == []


HELD = LockState(record("a"), 4)


@pytest.mark.parametrize(
    ("state", "item", "accepted"),
    [
        pytest.param(LockState(), record("b", after=-1), True, id="first claim"),
        pytest.param(HELD, record("a"), True, id="renewal"),
        pytest.param(HELD, record("b", 2, after=4), True, id="claim"),
        pytest.param(HELD, record("b", 2, after=3), False, id="claim, but the holder came back"),
        pytest.param(
            LockState(record("b", 2), 5), record("c", 2, after=4), False, id="second claim"
        ),
        pytest.param(LockState(record("b", 2), 5), record("a"), False, id="renewal of a loser"),
        pytest.param(HELD, record("b", 2), True, id="renewal whose claim has expired"),
        pytest.param(
            LockState(record("a", is_released=True), 4), record("a"), False, id="after a release"
        ),
    ],
)
def test_every_reader_accepts_the_same_records(
    state: LockState, item: LockRecord, accepted: bool
) -> None:
    assert state.after(item, 9) == (LockState(item, 9) if accepted else state)


@pytest.mark.parametrize("life", list(Life))
def test_a_released_lock_is_free_whatever_became_of_its_holder(life: Life) -> None:
    state = LockState(record("a", is_released=True), 4)

    assert state.standing(record("b"), lambda _: life, 0.0) is Standing.FREE


class Racer:
    """A publisher whose reads of the shared log may be old when it appends."""

    def __init__(self, name: str, log: list[LockRecord]) -> None:
        self.name = name
        self.log = log
        self.state, self.position, self.claims = LockState(), 0, 0
        self.own: LockRecord | None = None

    def look(self) -> None:
        for offset in range(self.position, len(self.log)):
            self.state = self.state.after(self.log[offset], offset)
        self.position = len(self.log)

    def claim(self) -> bool:
        """Append a claim; True if this publisher has the lock then."""
        self.claims += 1
        number = 1 if self.state.record is None else self.state.record.number + 1
        claim = record(f"{self.name}{self.claims}", number, after=self.state.offset)
        is_valid = self._append(claim)
        self.own = claim if is_valid else self.own
        return is_valid

    def renew(self, *, is_released: bool = False) -> bool:
        """Append a renewal or release; True if this publisher had the lock until then."""
        if self.own is None:
            return self.claim()
        return self._append(replace(self.own, after=None, is_released=is_released))

    def _append(self, item: LockRecord) -> bool:
        self.log.append(item)
        self.look()
        return self.state == LockState(item, len(self.log) - 1)


@pytest.mark.parametrize("seed", range(100))
def test_publishers_that_race_agree_on_who_had_the_lock_and_none_gets_it_back(seed: int) -> None:
    """What each believes of its own record is what every later reader of the log finds."""
    rnd, log = Random(seed), list[LockRecord]()
    racers = [Racer(name, log) for name in "abc"]
    believed: dict[int, bool] = {}
    for _ in range(80):
        racer = rnd.choice(racers)
        match rnd.choice(["look", "look", "claim", "renew", "renew", "release"]):
            case "look":
                racer.look()
            case "claim":
                is_valid = racer.claim()
                believed[len(log) - 1] = is_valid
            case step:
                is_valid = racer.renew(is_released=step == "release")
                believed[len(log) - 1] = is_valid

    state, tokens, accepted = LockState(), list[str](), dict[int, bool]()
    for offset, item in enumerate(log):
        state = state.after(item, offset)
        accepted[offset] = state.offset == offset
        if accepted[offset] and tokens[-1:] != [item.token]:
            tokens.append(item.token)
    assert believed == accepted
    assert len(tokens) == len(set(tokens)) > 1
