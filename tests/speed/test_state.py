"""The state of the speed layer: bars depend on the records alone, not on batches and restarts."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from support.build import NOON, SECOND
from support.machines import examples
from support.speed_reference import closed_out, counted_trades
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.host.profiles import load
from truetape.kernel.columns import RECORDS
from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.rejection import Rejected
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.trades import Event
from truetape.speed.counting import Counting, CountingRules
from truetape.speed.position import SpeedPosition
from truetape.speed.state import SpeedState

NATIVE = load_contract("truetape")
PLAIN = NATIVE.model_copy(update={"feed": "plain", "duplicates_expected": False})
CONTRACTS = {contract.feed: contract for contract in (NATIVE, PLAIN)}
LATENESS_NS = 5 * SECOND
LIMITS = Limits()
RULES = CountingRules(CONTRACTS, load("sip"), LIMITS, LATENESS_NS)
STAMP_MS = (NOON + 3_600 * SECOND) // 1_000_000
SYMBOLS = ("IBM", "AAPL", "MSFT")


@dataclass
class Log:
    """A topic in memory: the records of each partition, by offset."""

    partitions: list[list[dict[str, Any]]] = field(default_factory=lambda: [[], []])

    def append(self, partition: int, line: dict[str, object] | bytes, feed: str | None) -> None:
        rows = self.partitions[partition]
        value = line if isinstance(line, bytes) else json.dumps(line).encode()
        rows.append(
            {"topic": "trades", "partition": partition, "offset": len(rows), "record_ms": STAMP_MS,
             "key": None, "value": value, "feed": feed, "received_ns": None, "day": None}
        )  # fmt: skip

    def table(self, begins: Sequence[int], ends: Sequence[int]) -> pa.Table:
        rows = [
            row
            for part, begin, end in zip(self.partitions, begins, ends, strict=True)
            for row in part[begin:end]
        ]
        return pa.Table.from_pylist(rows, RECORDS)

    def events(self, ends: Sequence[int]) -> list[list[Event]]:
        """Decode the first records of each partition with the reference."""
        return [
            [event for row in part[:end] for event in events_of(row)]
            for part, end in zip(self.partitions, ends, strict=True)
        ]


def events_of(row: dict[str, Any]) -> list[Event]:
    contract = CONTRACTS.get(row["feed"] or "")
    if contract is None:
        return []
    names = ("feed", "key", "day", "received_ns", "topic", "partition", "offset", "record_ms")
    outcomes = decode(row["value"], contract, Context(*(row[name] for name in names)), LIMITS)
    return [item for item in outcomes if not isinstance(item, Rejected)]


@dataclass
class Driver:
    """A driver of the state: reads a log in batches, serves what changed, can be restarted."""

    log: Log
    state: SpeedState = field(default_factory=SpeedState)
    served: dict[tuple[object, ...], Bar] = field(default_factory=dict)
    read: list[int] = field(default_factory=lambda: [0, 0])
    floor: list[int] = field(default_factory=lambda: [0, 0])
    """What a driver before has served; nothing changes before that is read again."""

    def batch(self, sizes: Sequence[int]) -> list[Bar]:
        """Read so many records of each partition, in two portions; return the bars that changed."""
        middle = self._after(self.read, [size // 2 for size in sizes])
        ends = self._after(self.read, sizes)
        counting = Counting(RULES)
        portions = [self.log.table(self.read, middle), self.log.table(middle, ends)]
        counted = pa.concat_tables([counting.counted(portion) for portion in portions])
        changed = [bar_of(row) for row in self.state.add(counted).to_pylist()]
        self.read = ends
        assert not changed or all(np.greater_equal(self.read, self.floor))
        self.served |= {(bar.resolution, bar.symbol, bar.start_ns): bar for bar in changed}
        return changed

    def _after(self, begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        parts = zip(begins, sizes, self.log.partitions, strict=True)
        return [min(begin + size, len(part)) for begin, size, part in parts]

    def restart(self, position: SpeedPosition | None = None) -> None:
        """Go on as another driver that has only the position."""
        position = self.state.position() if position is None else position
        parts = [str(part) for part in range(len(self.read))]
        self.read = [position.horizons.get(part, 0) for part in parts]
        self.floor = [position.offsets.get(part, 0) for part in parts]
        self.state = SpeedState(position)

    def has_read_all(self) -> bool:
        return self.read == [len(part) for part in self.log.partitions]


def right_bars(log: Log, ends: Sequence[int]) -> dict[tuple[object, ...], Bar]:
    """Return the bars that the reference makes of the first records of each partition."""
    events = [event for part in log.events(ends) for event in part]
    closed = closed_out(events, LATENESS_NS)
    prints = [
        CanonicalTrade(trade)
        for contract in CONTRACTS.values()
        for trade in counted_trades(
            [event for event in events if event.feed == contract.feed],
            repeats=not contract.duplicates_expected,
            lost=lambda trade: trade.position in closed,
            lateness_ns=LATENESS_NS,
        )
    ]
    return by_window(
        bar
        for resolution in STREAMED
        for bar in bars(prints, RULES.profile, resolution, {})
        if bar.is_served
    )


def bar_of(row: dict[str, Any]) -> Bar:
    return Bar(**(row | {"resolution": Resolution(row["resolution"])}))


def by_window(bars: Iterable[Bar]) -> dict[tuple[object, ...], Bar]:
    return {(bar.resolution, bar.symbol, bar.start_ns): bar for bar in bars}


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Draw a topic: late, repeated, disordered, cancelled and broken, in two partitions.

    Each symbol is in one partition, as a producer with the symbol as key puts it.
    """
    log, clock = Log(), NOON
    for number in range(draw(st.integers(1, 40))):
        clock += draw(st.sampled_from([0, 1, SECOND // 3, SECOND, 4 * SECOND, 61 * SECOND]))
        symbol = draw(st.sampled_from(SYMBOLS))
        part = SYMBOLS.index(symbol) % 2
        kind = draw(st.sampled_from(["trade"] * 8 + ["repeat", "cancel", "garbage"]))
        late = draw(st.sampled_from([0, 0, 0, SECOND, 5 * SECOND, 5 * SECOND + 1, 90 * SECOND]))
        disorder = draw(st.sampled_from([0, 0, 0, SECOND, 7 * SECOND]))
        line: dict[str, object] = {
            "kind": "trade", "symbol": symbol, "venue": "XNYS",
            "id": str(draw(st.integers(0, 3)) if kind == "repeat" else 100 + number),
            "event_time": clock - late - disorder, "received_time": clock - disorder,
            "price": str(Decimal(draw(st.integers(1, 9_999))).scaleb(-3)),
            "size": str(draw(st.integers(0, 300))),
            "conditions": draw(st.sampled_from([[], [], ["I"], ["Z"], ["nonsense"]])),
        }  # fmt: skip
        if draw(st.booleans()):
            line["sequence"] = draw(st.integers(0, 3))
        feed = draw(st.sampled_from(["truetape", "truetape", "plain", "unknown", None]))
        match kind:
            case "cancel":
                keep = ("symbol", "venue", "id", "received_time")
                line = {"kind": "cancel"} | {name: line[name] for name in keep}
                log.append(part, line, feed)
            case "garbage":
                log.append(part, b"{", feed)
            case _:
                for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
                    log.append(part, line, feed)
    return log


@examples(12)
@given(logs(), st.integers(0, 10**6))
def test_any_split_and_any_restarts_give_the_bars_of_the_records(log: Log, seed: int) -> None:
    rnd, driver = random.Random(seed), Driver(log)
    positions = [driver.state.position()]
    while not driver.has_read_all():
        changed = driver.batch([rnd.choice([0, 1, 3, 20]) for _ in log.partitions])
        right = right_bars(log, driver.read)
        assert {window: right[window] for window in by_window(changed)} == by_window(changed)
        positions.append(driver.state.position())
        if rnd.random() < 0.3:
            positions = [rnd.choice(positions[-2:])]  # a later one was never committed
            driver.restart(positions[0])

    assert driver.served == right_bars(log, driver.read)


def line(event_s: float, received_s: float, **fields: object) -> dict[str, object]:
    """A trade of IBM at so many seconds after noon."""
    times = {"event_time": event_s, "received_time": received_s}
    values = {name: NOON + round(seconds * SECOND) for name, seconds in times.items()}
    return {
        "kind": "trade", "symbol": "IBM", "venue": "XNYS", "price": "5", "size": "1",
        **values, **fields,
    }  # fmt: skip


def driver_of(*lines: dict[str, object], feed: str = "plain") -> Driver:
    log = Log()
    for each in lines:
        log.append(0, each, feed)
    return Driver(log)


def assert_right(driver: Driver) -> None:
    assert driver.has_read_all()
    assert driver.served == right_bars(driver.log, driver.read)


def test_a_window_that_was_closed_is_not_served_from_what_the_horizon_still_has() -> None:
    """The horizon is the first trade of the open minute; one of the closed minute came after it."""
    driver = driver_of(line(58, 58), line(61, 61), line(59, 62), line(70, 70), line(71, 71))
    driver.batch([4, 0])
    assert driver.state.position().horizons == {"0": 1}

    driver.restart()
    changed = driver.batch([9, 0])

    assert NOON not in {bar.start_ns for bar in changed}
    assert_right(driver)


def test_what_was_closed_before_the_horizon_stays_closed() -> None:
    closing: dict[str, object] = {
        "kind": "cancel", "symbol": "IBM", "venue": "XNYS", "id": "1",
        "received_time": NOON + 70 * SECOND,
    }  # fmt: skip
    driver = driver_of(closing, line(64.2, 64.5), line(63, 63.5))
    driver.batch([2, 0])
    assert driver.state.position().horizons == {"0": 1}

    driver.restart()
    driver.batch([9, 0])

    assert (Resolution.SECOND, "IBM", NOON + 63 * SECOND) not in driver.served
    assert_right(driver)


def test_a_repeat_after_a_restart_is_dropped() -> None:
    first = line(1, 1, id="7")
    driver = driver_of(first, line(2, 2, id="8"), first, feed="truetape")
    driver.batch([2, 0])

    driver.restart()
    driver.batch([9, 0])

    assert_right(driver)
    assert driver.served[Resolution.MINUTE, "IBM", NOON].trades == 2
    assert driver.state.records == 1, "the other two are read again"


def test_trades_of_one_symbol_in_two_partitions_make_one_bar() -> None:
    log = Log()
    for number in range(12):
        log.append(number % 2, line(number, number, price=str(number + 1)), "plain")
    driver = Driver(log)
    for _ in range(3):
        driver.batch([2, 1])
        driver.restart()
    driver.batch([9, 9])

    assert_right(driver)


def test_a_window_that_its_partition_closed_gets_no_bar_of_another_partition_alone() -> None:
    """A symbol in two partitions, one of which is read much later than the other."""
    log = Log()
    for number in range(3):
        log.append(0, line(number * 60, number * 60), "plain")
    log.append(1, line(0.5, 0.5, price="9"), "plain")
    driver = Driver(log)
    driver.batch([3, 0])

    assert driver.batch([0, 1]) == []
    assert driver.state.closed == 1


def test_an_idle_partition_keeps_no_windows_of_others_open() -> None:
    log = Log()
    log.append(1, line(0, 0, symbol="AAPL"), "plain")
    for number in range(5):
        log.append(0, line(number * 100, number * 100), "plain")
    driver = Driver(log)
    driver.batch([9, 9])

    position = driver.state.position()
    assert position.horizons == {"0": 4, "1": 0}
    assert position.offsets == {"0": 5, "1": 1}


def test_a_driver_with_a_longer_lateness_serves_no_window_that_lost_its_trades() -> None:
    """What a driver before has closed stays closed, whatever the settings of the next one are."""
    driver = driver_of(line(1, 1), line(9, 9), line(1.5, 9.5), line(9.5, 9.6))
    driver.batch([2, 0])
    driver.restart()
    longer = replace(RULES, lateness_ns=20 * SECOND)
    counted = Counting(longer).counted(driver.log.table(driver.read, [4, 0]))

    changed = [bar_of(row) for row in driver.state.add(counted).to_pylist()]

    assert NOON + SECOND not in {bar.start_ns for bar in changed}
