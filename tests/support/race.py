"""Drivers and supervisors in one process, their steps interleaved by a seed, in fake time.

The protocol of a driver, its lease, its writer and the supervisor's steps are the product's code.
The broker, the bar store, Spark and the processes are small models. A write is suspended between
its check and its arrival while others go on.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pyarrow as pa

from support.build import NOON, VENUES
from support.speed import NOW, ns
from truetape.broker.boundary import Boundary
from truetape.broker.record_json import decode
from truetape.host.errors import FencedError, TransientError, TruetapeError
from truetape.market.ranges import Range
from truetape.market.resolution import Resolution
from truetape.serving.bar_table import bars_of
from truetape.serving.store import Key, ServedBar, WriteReport
from truetape.speed.bar_ranges import Span, is_within
from truetape.speed.control_records import ControlRecords, DesiredState, Launch
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.decision import GiveUp, decide
from truetape.speed.driver import Driver, Life
from truetape.speed.fence import FenceState, fence_state
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.launcher import LaunchArguments
from truetape.speed.lease import Clock, Lease
from truetape.speed.observation import Observed, Policy, exit_report_of, update_history
from truetape.speed.position import NO_LOG, PartitionPosition, ReadLog, SpeedPosition
from truetape.speed.protocol import DriverRun, Wait
from truetape.speed.state import CHANGED
from truetape.speed.supervision import Step
from truetape.speed.writer import SpeedWriter

WRITE_TIMEOUT_S = 10.0
MINUTE_NS = 60_000_000_000
MAX_DEPTH = 3
STEPS = 400
POLICY = Policy(beat_within_s=20, progress_within_s=60, give_up_after=1_000, max_back_off_s=30)
"""As delivered, but that it never gives up: after the last fault a driver must start again."""


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
    served: dict[Key, ServedBar] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    in_flight: list[tuple["ModelStore", list[ServedBar]]] = field(default_factory=list)
    processes: list["Process"] = field(default_factory=list)
    supervisors: list[Iterator[None]] = field(default_factory=list)
    publishers: list[Iterator[None]] = field(default_factory=list)
    published: list[tuple[int, int]] = field(default_factory=list)
    """Up to which instant bars were made final, and how many writes had arrived by then."""
    faults: Faults = Faults.ANY
    is_over: bool = False
    depth: int = 0
    records: ControlRecords = field(default_factory=lambda: ControlRecords(Control(), "trades"))  # type: ignore[arg-type]

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

    def revoke(self) -> None:
        """Take the lease and leave it to nobody."""
        self.token += 1

    def deliver(self) -> None:
        """Let the writes of killed drivers arrive."""
        for store, rows in self.in_flight:
            store.arrive(rows)
        self.in_flight.clear()

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
        is_healed = beat is not None and beat.state is Phase.RUNNING and not beat.unfinished_writes
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
        # a driver that lost the lease is not killed between its write and its exit report: nobody
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
    """One driver: the product's own `DriverRun`, with the world in place of Kafka and InfluxDB."""

    world: World
    identity: Driver
    command: int
    after: int
    is_alive: bool = True
    is_frozen: bool = False
    is_inside: bool = False
    is_writing: bool = False
    token: int = -1
    run: DriverRun | None = None
    stream: "ModelStream | None" = None
    _steps: Iterator[Wait] | None = None
    _wait: Wait | None = None
    _waits_since: datetime = NOW

    @property
    def can_run(self) -> bool:
        return self.is_alive and not self.is_frozen and not self.is_inside

    @property
    def epoch(self) -> int:
        return self.run.lease.epoch if self.run and self.run.lease else 0

    def kill(self) -> None:
        self.is_alive = False

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = self.is_inside and self.is_frozen

    def step(self) -> None:
        """Go on to the next point at which others may be scheduled."""
        if self._wait is not None and self._wait.for_late_writes and not self._all_arrived():
            return
        try:
            if self.stream is not None and self.stream.run_batch():
                return
            if self._steps is None:
                self._steps = self._driver_run().steps()
            self._wait = next(self._steps)
            self._waits_since = self.world.now
        except StopIteration:
            self.is_alive = False
        except TruetapeError:
            self.is_alive = False  # the exit report is written
        except KilledError:
            self.is_alive = False

    def _driver_run(self) -> DriverRun:
        world = self.world
        self.stream = ModelStream(self)
        clock = Clock(lambda: ns(world.now), world.seconds)

        def take_lease() -> Lease:
            world.token += 1
            self.token = world.token
            return Lease.begin(
                ModelProducer(self),
                world.last_beat(),
                world.records,
                self.command,
                driver=self.identity,
                clock=clock,
            )

        self.run = DriverRun(
            driver=self.identity,
            records=world.records,
            command=self.command,
            after=self.after,
            stream=self.stream,
            topic=ModelTopic(world),
            new_state=lambda position: ModelState(world, position),  # type: ignore[arg-type, return-value]
            open_store=lambda: nullcontext(ModelStore(self)),
            load_venues=lambda: VENUES,
            write_timeout_s=WRITE_TIMEOUT_S,
            take_lease=take_lease,
            newest_beat=world.last_beat,
            life_of=world.life_of,
            clock=clock,
        )
        return self.run

    def _all_arrived(self) -> bool:
        """What is under way arrives within a write timeout, but for what a frozen driver sends."""
        assert self._wait is not None
        if self.world.now - self._waits_since < timedelta(seconds=self._wait.seconds):
            return False
        self.world.deliver()
        others = [other for other in self.world.processes if other is not self and other.is_writing]
        return all(other.is_frozen for other in others if other.is_alive)


@dataclass(frozen=True, slots=True)
class ModelProducer:
    """The transactional producer of a driver: refused once another driver took the lease."""

    process: Process

    def commit(self, topic: str, key: bytes, value: bytes, within_s: float) -> None:
        world = self.process.world
        if self.process.token != world.token:
            raise FencedError("fenced")
        world.beats.append(decode(Heartbeat, value))
        world.interlude(self.process)

    def close(self, timeout_s: float | None = None) -> None:
        pass


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The bar store as one driver sees it: its writes may arrive after the lease was lost."""

    process: Process

    def write_table(self, resolution: Resolution, bars: pa.Table) -> WriteReport:
        rows, process = list(bars_of(bars)), self.process
        process.is_writing = True
        try:
            process.world.interlude(process)
        except KilledError:
            process.world.in_flight.append((self, rows))
            raise
        finally:
            process.is_writing = False
        self.arrive(rows)
        process.world.interlude(process)
        return WriteReport(len(rows), len(rows))

    def arrive(self, rows: list[ServedBar]) -> None:
        world = self.process.world
        for bar in rows:
            world.served[bar.key] = bar
            was_held = self.process.token == world.token
            world.writes.append(Write(self.process.epoch, bar, was_held))

    def read(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str
    ) -> list[ServedBar]:
        if resolution is not Resolution.MINUTE:
            return []
        served = self.process.world.served.values()
        return [bar for bar in served if start_ns <= bar.start_ns < end_ns]


@dataclass(slots=True)
class ModelState:
    """The state of one driver: the bars of a minute have as many trades as were read of it."""

    world: World
    start: SpeedPosition
    records: int = 0
    late: int = 0
    _position: SpeedPosition = field(init=False)

    def __post_init__(self) -> None:
        self._position = self.start

    def add(self, counted: pa.Table) -> pa.Table:
        begin, end = counted["begin"][0].as_py(), counted["end"][0].as_py()
        assert begin == self._position.offsets.get("0", 0), "batches follow each other"
        self.records += end - begin
        place = PartitionPosition(end, NOTHING_CLOSED, end, NOTHING_CLOSED)
        self._position = SpeedPosition(self._position.batch + 1, {"0": place})
        touched = {start for start, _ in self.world.trades[begin:end]}
        rows = [row(start, self.world.count(start, end)) for start in sorted(touched)]
        return pa.Table.from_pylist(rows, CHANGED)

    def position(self) -> SpeedPosition:
        return self._position


@dataclass(slots=True)
class ModelTopic:
    """The topic as a driver sees it."""

    world: World

    def startable(self, position: SpeedPosition) -> SpeedPosition:
        return position

    def lag(self, offsets: Mapping[str, int]) -> Mapping[str, int]:
        return {"0": len(self.world.trades) - offsets.get("0", 0)}

    def read_log(self, offsets: Mapping[str, int], *, fresh: bool) -> ReadLog:
        return NO_LOG


@dataclass(slots=True)
class ModelStream:
    """An engine: reads from a position on, and hands what is new to the writer."""

    process: Process
    writer: SpeedWriter | None = None
    has_failed: bool = False
    _read: int = 0
    _is_next: bool = True

    def start(self) -> str:
        return ""

    def begin(self, position: SpeedPosition, writer: SpeedWriter) -> None:
        self.writer = writer
        self._read = position.horizons.get("0", 0)

    def check(self) -> None:
        if self.has_failed:
            raise TransientError("the stream ended")

    def stop(self) -> None:
        self.writer = None

    def run_batch(self) -> bool:
        """Take the stream's turn; False if it is the protocol's, also after a failure."""
        if self.writer is None or not self._is_next:
            self._is_next = True
            return False
        self._is_next = False
        try:
            self._batch(self.writer)
        except TruetapeError:
            self.has_failed = True
        return not self.has_failed

    def _batch(self, writer: SpeedWriter) -> None:
        begin, end = self._read, len(self.process.world.trades)
        if begin < end:
            writer(lambda: pa.table({"begin": [begin], "end": [end]}))
            self._read = end


@dataclass(slots=True)
class ModelLauncher:
    """Starts processes; on one host it returns the running one unless that is replaced."""

    world: World
    launched: list[Driver] = field(default_factory=list)

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver:
        world, processes = self.world, self.world.processes
        running = self.launched[-1] if self.launched else None
        if world.is_one_host:
            running = processes[-1].identity if processes else None
        if running is not None and running != replaces and processes[running.pid].is_alive:
            return running
        pid = len(processes)
        identity = Driver("host", "boot/pid:[1]", pid, f"boot/{pid}")
        processes.append(Process(world, identity, arguments.command, arguments.after))
        self.launched.append(identity)
        return identity

    def stop(self, driver: Driver | None, application: str) -> None:
        if driver is not None:
            self.world.processes[driver.pid].kill()


def row(start_ns: int, trades: int) -> dict[str, object]:
    """A changed bar: a minute that had so many trades."""
    price = Decimal(100)
    return {
        "symbol": "IBM", "venue": "XNYS", "resolution": "1m", "start_ns": start_ns, "open": price,
        "high": price, "low": price, "close": price, "volume": Decimal(trades), "vwap": price,
        "trades": trades,
    }  # fmt: skip


def unseen(_: Driver) -> Life:
    """Supervisors of the model end no process that hangs on after it was replaced."""
    return Life.UNSEEN


def supervisor(world: World) -> Generator[None, None, None]:
    """Look, decide and act for ever; what was seen may be old when it is acted on."""
    launcher = ModelLauncher(world)
    while True:
        desired, before, now = world.records.desired, world.records.history, world.now
        observed = look(world, before.last)
        yield
        history = update_history(before, observed, now, POLICY)
        action = decide(desired, observed, history, now, POLICY)
        assert not isinstance(action, GiveUp), action.reason
        step = Step(world.records, observed, history, now, world.revoke, unseen)
        history = step.take(action, launcher)
        yield
        if history != before:
            world.records.write_history(history)
        yield


def publisher(world: World) -> Generator[None, None, None]:
    """Make minute after minute final, as `publish_once` does: fence, wait, publish."""
    control: Any = world.records.control
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
                world.revoke()
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
    world.deliver()


def trespasses(world: World) -> list[Write]:
    """The writes that arrived below a boundary after it was published."""
    return [
        write
        for end_ns, arrived in world.published
        for write in world.writes[arrived:]
        if write.bar.start_ns < end_ns
    ]


def look(world: World, last: Launch | None) -> Observed:
    """What `observe` would read."""
    beat, reports = world.last_beat(), world.records.exit_reports
    read = beat.offsets.get("0", 0) if beat else 0
    long_ago = world.now - timedelta(seconds=60)
    driver = last.driver if last else None
    return Observed(
        beat=beat,
        life=world.life_of(beat.driver) if beat else Life.UNSEEN,
        ended=exit_report_of(beat, reports) if beat else None,
        launch=last,
        launch_life=world.life_of(driver) if driver else Life.UNSEEN,
        launch_ended=exit_report_of(last, reports) if last else None,
        lag={"0": len(world.trades) - read},
        overdue=sum(at < long_ago for _, at in world.trades[read:]),
    )


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
    world.records.write_command(DesiredState.STARTED, "race", "test")
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
    return [span for report in world.records.exit_reports for span in report.late_writes]


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
