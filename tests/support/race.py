"""Drivers and supervisors in one process, their steps interleaved by a seed, in fake time.

What decides and what writes is the real code; the broker, the bar store, Spark and the processes
are small models of it. A write is suspended between its check and its arrival while others go on.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from support.build import NOON, VENUES
from support.speed import NOW, ns
from truetape.broker.boundary import Boundary
from truetape.host.errors import LeaseLostError, TransientError
from truetape.market.ranges import Range
from truetape.market.resolution import Resolution
from truetape.serving.store import Key, ServedBar, WriteReport
from truetape.speed.bar_ranges import Span, is_within
from truetape.speed.bar_rewrite import Mender
from truetape.speed.control_records import Board
from truetape.speed.decision import Adopt, GiveUp, Restart, Start, Stop, decide
from truetape.speed.driver import Driver, Life
from truetape.speed.fence import FenceState, fence_state
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.history import How, Launch
from truetape.speed.observation import Observed, Policy, settle
from truetape.speed.order import State
from truetape.speed.takeover import Ended, succeed
from truetape.speed.writer import SpeedWriter

WRITE_TIMEOUT_S = 10.0
MINUTE_NS = 60_000_000_000
MAX_DEPTH = 3
STEPS = 400
POLICY = Policy(beat_within_s=20, progress_within_s=60, give_up_after=1_000)


class Faults(StrEnum):
    """What happens to drivers: nothing, one fault that heals before the next, or anything."""

    NONE = "none"
    ONE = "one at a time"
    ANY = "any"


class KilledError(BaseException):
    """Ends a driver where it stands; nothing of the code under test may catch it."""


class Control:
    """The control topic: the newest value of each key."""

    def __init__(self) -> None:
        self.newest: dict[str, bytes] = {}
        self.venues: dict[str, Boundary] = {}

    def refresh(self) -> "Control":
        return self

    def boundaries(self) -> dict[str, Boundary]:
        return dict(self.venues)

    def value(self, key: str) -> bytes | None:
        return self.newest.get(key)

    def values(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, value in self.newest.items() if key.startswith(prefix)}

    def put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.newest.pop(key, None)
        else:
            self.newest[key] = value


@dataclass(frozen=True, slots=True)
class Write:
    """One row that arrived: whose it was, and whether that driver held the lease."""

    epoch: int
    bar: ServedBar
    was_held: bool


@dataclass(slots=True)
class World:
    """Everything that the drivers share, and the seed that orders their steps."""

    rnd: random.Random
    is_one_host: bool
    now: datetime = NOW
    token: int = 0
    beats: list[Heartbeat] = field(default_factory=list)
    trades: list[tuple[int, datetime]] = field(default_factory=list)
    minutes: dict[int, list[int]] = field(default_factory=dict)
    """The trades of each minute, by their place in `trades`."""
    planned: dict[int, int] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    served: dict[Key, ServedBar] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    in_flight: list[tuple["Process", list[ServedBar]]] = field(default_factory=list)
    processes: list["Process"] = field(default_factory=list)
    supervisors: list[Iterator[None]] = field(default_factory=list)
    publishers: list[Iterator[None]] = field(default_factory=list)
    published: list[tuple[int, int]] = field(default_factory=list)
    """Up to which instant bars were made final, and how many writes had arrived by then."""
    faults: Faults = Faults.ANY
    is_over: bool = False
    depth: int = 0
    board: Board = field(default_factory=lambda: Board(Control(), "trades"))  # type: ignore[arg-type]

    def trade(self) -> None:
        """Until the market closes, one more trade in this minute or, seldom, in the last."""
        if self.is_over:
            return
        minute = len(self.trades) // 40 - (self.rnd.random() < 0.2)
        start = NOON + max(0, minute) * MINUTE_NS
        self.minutes.setdefault(start, []).append(len(self.trades))
        self.trades.append((start, self.now))

    def seconds(self) -> float:
        return self.now.timestamp()

    def last_beat(self) -> Heartbeat | None:
        return self.beats[-1] if self.beats else None

    def life_of(self, driver: Driver) -> Life:
        if not self.is_one_host:
            return Life.UNSEEN
        return Life.ALIVE if self.processes[driver.pid].is_alive else Life.DEAD

    def step(self) -> None:
        """Let one participant take one step."""
        self.now += timedelta(seconds=self.rnd.choice([0.05, 0.1, 0.2, 1]))
        free = [one for one in self.processes if one.can_run]
        choices: list[Callable[[], object]] = [one.step for one in free] * 4
        choices += [
            lambda run=run: next(run, None) for run in (*self.supervisors, *self.publishers)
        ]
        choices += [self.trade] * 3
        if self.may_fail():
            choices += [one.kill for one in free if self.rnd.random() < 0.1]
            choices += [one.freeze for one in free if self.rnd.random() < 0.2]
        choices += [one.thaw for one in self.processes if one.is_frozen and self.rnd.random() < 0.3]
        self.rnd.choice(choices)()

    def may_fail(self) -> bool:
        """Say whether something may go wrong now."""
        if self.faults is not Faults.ONE:
            return self.faults is Faults.ANY
        beat, alive = self.last_beat(), [one for one in self.processes if one.is_alive]
        is_healed = beat is not None and beat.state is Phase.RUNNING and not beat.suspects
        return is_healed and len(alive) == 1

    def interlude(self, process: "Process") -> None:
        """Let others go on while a driver is inside of a call; it may never come back."""
        if self.depth < MAX_DEPTH:
            self.depth += 1
            process.is_inside = True
            process.is_frozen = self.may_fail() and self.rnd.random() < 0.2
            for _ in range(self.rnd.randrange(150 if process.is_frozen else 4)):
                self.step()
            process.is_inside = process.is_frozen = False
            self.depth -= 1
        # a driver that lost the lease is not killed between its write and its last word: nobody
        # could know of the write
        if self.may_fail() and process.token == self.token and self.rnd.random() < 0.03:
            process.is_alive = False
        if not process.is_alive:
            raise KilledError

    def count(self, start_ns: int, until: int) -> int:
        """How many of the first `until` trades are in a minute."""
        return bisect_left(self.minutes.get(start_ns, []), until)

    def fold(self) -> dict[Key, int]:
        """The bars of all trades: how many there are in each minute."""
        found = {start: self.count(start, len(self.trades)) for start in self.minutes}
        return {("IBM", "XNYS", start): count for start, count in found.items() if count}


@dataclass(slots=True)
class Process:
    """One driver: takes the lease, waits, and serves batch after batch."""

    world: World
    identity: Driver
    order: int
    after: int
    is_alive: bool = True
    is_frozen: bool = False
    is_inside: bool = False
    is_writing: bool = False
    epoch: int = 0
    token: int = -1
    code: int | None = None
    beat_now: Heartbeat | None = None
    writer: SpeedWriter | None = None
    _life: Iterator[None] | None = None

    @property
    def can_run(self) -> bool:
        return self.is_alive and not self.is_frozen and not self.is_inside

    def kill(self) -> None:
        self.is_alive = False

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = self.is_inside and self.is_frozen

    def step(self) -> None:
        """Go on to the next point at which others may be scheduled."""
        self._life = self._life or self._serve()
        try:
            next(self._life)
        except StopIteration:
            self._end(0)
        except LeaseLostError:
            self._end(75, self.beat_now.writing if self.beat_now else ())
        except TransientError:
            self._end(75)
        except KilledError:
            self.is_alive = False

    def beat(self, **news: Any) -> None:
        """Commit a heartbeat, as `Lease.beat` does."""
        assert self.beat_now is not None
        if self.token != self.world.token:
            raise LeaseLostError("fenced")
        beat = replace(self.beat_now, beat_ns=ns(self.world.now), **news)
        self.world.beats.append(beat)
        self.beat_now = beat
        self.world.interlude(self)

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        """Store bars, as a bar store does: they may arrive after the lease was lost."""
        rows = list(bars)
        self.is_writing = True
        try:
            self.world.interlude(self)
        except KilledError:
            self.world.in_flight.append((self, rows))
            raise
        finally:
            self.is_writing = False
        self.arrive(rows)
        self.world.interlude(self)
        return WriteReport(len(rows), len(rows))

    def arrive(self, rows: list[ServedBar]) -> None:
        for bar in rows:
            self.world.served[bar.key] = bar
            held = self.token == self.world.token
            self.world.writes.append(Write(self.epoch, bar, held))

    def read(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str
    ) -> list[ServedBar]:
        if resolution is not Resolution.MINUTE:
            return []
        return [bar for bar in self.world.served.values() if start_ns <= bar.start_ns < end_ns]

    def _serve(self) -> Generator[None, None, None]:
        world = self.world
        last = world.last_beat()
        if world.board.desired.number > self.order or (last and last.epoch > self.after):
            return
        yield
        world.token += 1
        self.token = world.token
        last = world.last_beat()
        first_batch = max(world.committed, default=-1) + 1
        succession = succeed(last, world.board.ends, first_batch)
        self.epoch = succession.last + 1
        now = ns(world.now)
        self.beat_now = Heartbeat("trades", self.epoch, self.identity, self.order, now, now)
        self.beat(suspects=succession.suspects)
        yield
        began = world.now
        while succession.suspects and not self._all_arrived(began):
            yield
        mender = Mender(succession.suspects, WRITE_TIMEOUT_S, world.life_of, world.seconds)
        writer = SpeedWriter(self, world.board, VENUES, self, succession, mender)  # type: ignore[arg-type]
        self.writer = writer
        writer.take_over()
        while world.board.desired.number <= self.order:
            yield
            self._batch(writer)
            yield
            writer.attend()
            self._look()

    def _all_arrived(self, began: datetime) -> bool:
        """What is under way arrives within a write timeout, but for what a frozen driver sends."""
        if self.world.now - began < timedelta(seconds=WRITE_TIMEOUT_S):
            return False
        for sender, rows in self.world.in_flight:
            sender.arrive(rows)
        self.world.in_flight.clear()
        others = [one for one in self.world.processes if one is not self and one.is_writing]
        return all(one.is_frozen for one in others if one.is_alive)

    def _batch(self, writer: SpeedWriter) -> None:
        """One micro-batch, with a checkpoint like Spark's: planned, then done."""
        world = self.world
        number = max(world.committed, default=-1) + 1
        begin = world.planned.get(number - 1, 0)
        if number not in world.planned:
            if len(world.trades) == begin:
                return
            world.planned[number] = len(world.trades)
        end = world.planned[number]
        touched = {start for start, _ in world.trades[begin:end]}
        rows = [row(start, world.count(start, end)) for start in sorted(touched)]
        frame = SimpleNamespace(collect=lambda: rows)
        writer(frame, number)  # type: ignore[arg-type]
        if number in world.committed:
            raise TransientError("another query noted this batch")
        world.committed.add(number)

    def _look(self) -> None:
        done = max(self.world.committed, default=-1)
        self.beat(
            state=Phase.RUNNING,
            batch_end_ns=ns(self.world.now),
            offsets={"0": self.world.planned.get(done, 0)},
            fences=self.writer.fences if self.writer else {},
        )

    def _end(self, code: int, touched: Any = ()) -> None:
        self.is_alive, self.code = False, code
        word = Ended(self.epoch, self.identity, code, "ended", self.world.now, touched)
        self.world.board.say(word)


def row(start_ns: int, trades: int) -> SimpleNamespace:
    """A row of the stream: a minute that had so many trades."""
    price = Decimal(100)
    return SimpleNamespace(
        symbol="IBM", venue="XNYS", resolution="1m", start_ns=start_ns, open=price, high=price,
        low=price, close=price, volume=Decimal(trades), vwap=price, trades=trades,
    )  # fmt: skip


def supervisor(world: World) -> Generator[None, None, None]:
    """Look, decide and act for ever; what was seen may be old when it is acted on."""
    launched: list[Driver] = []
    while True:
        desired, known, now = world.board.desired, world.board.history, world.now
        observed = look(world, known.last)
        yield
        history = settle(known, observed, now, POLICY)
        action = decide(desired, observed, history, now, POLICY)
        after = observed.beat.epoch if observed.beat else 0
        match action:
            case Start(reason):
                driver = launch(world, launched, desired.number, after, None)
                history = history.began(
                    Launch(now, desired.number, after, How.START, reason, driver)
                )
            case Restart(reason, replaces):
                driver = launch(world, launched, desired.number, after, replaces)
                history = history.began(
                    Launch(now, desired.number, after, How.RESTART, reason, driver)
                )
            case Adopt(reason, driver) if observed.beat is not None:
                at = observed.beat.started_at
                history = history.began(
                    Launch(at, desired.number, after - 1, How.ADOPT, reason, driver)
                )
            case Stop(_, driver) if driver is not None:
                world.processes[driver.pid].kill()
            case GiveUp():
                raise AssertionError(action.reason)
        yield
        if history != known:
            world.board.remember(history)
        yield


def publisher(world: World) -> Generator[None, None, None]:
    """Make minute after minute final, as `publish_once` does: fence, wait, publish."""
    control: Any = world.board.control
    for minute in range(60):
        end_ns = NOON + (minute + 1) * MINUTE_NS
        while max(world.minutes, default=0) < end_ns:
            yield
        boundary = control.venues.get("XNYS", Boundary("XNYS"))
        control.venues["XNYS"] = boundary.raised(end_ns)
        yield
        while True:
            beat = world.last_beat()
            state = fence_state(beat, "XNYS", end_ns, ns(world.now))
            if state is FenceState.OBEYED:
                break
            if state is FenceState.SILENT:
                world.token += 1
                yield from _writes_arrive(world)
                break
            yield
        world.published.append((end_ns, len(world.writes)))
        control.venues["XNYS"] = control.venues["XNYS"].sealed(Range(end_ns - MINUTE_NS, end_ns))
        yield


def _writes_arrive(world: World) -> Generator[None, None, None]:
    """Wait as long as a write that has left a driver may take, whether one was under way or not."""
    began = world.now
    while world.now - began < timedelta(seconds=WRITE_TIMEOUT_S):
        yield
    for sender, rows in world.in_flight:
        sender.arrive(rows)
    world.in_flight.clear()


def trespasses(world: World) -> list[Write]:
    """The writes that arrived below a boundary after it was published."""
    return [
        write
        for end_ns, arrived in world.published
        for write in world.writes[arrived:]
        if write.bar.start_ns < end_ns
    ]


def look(world: World, last: Launch | None) -> Observed:
    """What `observe` would find."""
    beat = world.last_beat()
    ends = world.board.ends
    read = beat.offsets.get("0", 0) if beat else 0
    waited = [at for _, at in world.trades[read:] if world.now - at > timedelta(seconds=60)]
    driver = last.driver if last else None

    return Observed(
        beat=beat,
        life=world.life_of(beat.driver) if beat else Life.UNSEEN,
        ended=next((one for one in ends if beat and one.epoch == beat.epoch), None),
        launch=last,
        launch_life=world.life_of(driver) if driver else Life.UNSEEN,
        launch_ended=next((one for one in ends if last and one.driver == driver), None),
        lag={"0": len(world.trades) - read},
        overdue=len(waited),
    )


def launch(
    world: World, launched: list[Driver], order: int, after: int, replaces: Driver | None
) -> Driver:
    """Start a process; on one host the one that is there already, if it is not to be replaced."""
    there = launched[-1] if launched else None
    if world.is_one_host:
        there = world.processes[-1].identity if world.processes else None
    if there is not None and there != replaces and world.processes[there.pid].is_alive:
        return there
    pid = len(world.processes)
    identity = Driver("host", "boot/pid:[1]", pid, f"boot/{pid}")
    world.processes.append(Process(world, identity, order, after))
    launched.append(identity)
    return identity


def race(
    seed: int,
    *,
    faults: Faults,
    is_one_host: bool,
    supervisors: int = 2,
    publishers: int = 0,
) -> World:
    """Run a race of two supervisors, then end all faults and let everything settle."""
    world = World(random.Random(seed), is_one_host, faults=faults)
    world.publishers = [publisher(world) for _ in range(publishers)]
    world.board.order(State.STARTED, "race", "test")
    world.supervisors = [supervisor(world) for _ in range(supervisors)]
    for _ in range(STEPS):
        world.step()
    world.faults = Faults.NONE
    for process in world.processes:
        process.thaw()
    for _ in range(STEPS):
        world.step()
    world.is_over = True
    for _ in range(STEPS):
        world.step()
    return world


def spoilt(world: World) -> list[Span]:
    """The bars that drivers wrote without the lease and that wait for a publication."""
    return [span for word in world.board.ends for span in word.touched]


def holders(world: World) -> list[Process]:
    """The drivers that are alive and hold the lease."""
    return [one for one in world.processes if one.is_alive and one.token == world.token]


def counts(served: Mapping[Key, ServedBar]) -> dict[Key, int]:
    return {key: bar.trades for key, bar in served.items()}


def lowered(world: World, *, by_holder: bool) -> list[Write]:
    """The rows that came with fewer trades than were served, from a holder or from a late one."""
    served: dict[Key, int] = {}
    found = []
    for write in world.writes:
        if write.bar.trades < served.get(write.bar.key, 0) and write.was_held == by_holder:
            found.append(write)
        served[write.bar.key] = write.bar.trades
    return found


def unannounced(world: World) -> list[Write]:
    """The rows written without the lease that no heartbeat of their driver had named."""
    named: dict[int, list[Any]] = {}
    for beat in world.beats:
        named.setdefault(beat.epoch, []).extend(beat.writing)
    return [
        write
        for write in world.writes
        if not write.was_held
        and not is_within(named.get(write.epoch, []), write.bar.venue, write.bar.start_ns)
    ]
