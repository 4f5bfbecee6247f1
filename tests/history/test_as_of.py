"""As of: the bars known at an instant equal the truth at that instant and the served rows."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from random import Random

import pytest
from click.testing import CliRunner, Result

from support.build import SECOND, VENUES, cancel
from support.drifting import DAY, HOUR, printed, publish_and_record
from support.session_lake import FRIDAY, NOON, lake_session
from truetape.cli.show import show
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.history.as_of import AsOfRequest, bars_as_of, bars_known_at
from truetape.host.calendars import session
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.host.settings import Settings
from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.resolution import Resolution
from truetape.market.trades import Cancel, Correction, Event, Trade
from truetape.serving.backends import open_store
from truetape.serving.store import ServedBar

XNYS = VENUES["XNYS"]
TROUBLED = Faults(late=0.05, duplicate=0.05, cancel=0.05, correct=0.05)
PLAN = SimulationPlan(
    date(2024, 11, 22), seed=5, trades=600, symbols=("IBM", "KO"), faults=TROUBLED
)
SESSION = session(XNYS, PLAN.day)
NUMBERS = ("open", "high", "low", "close", "volume", "vwap", "trades")


@pytest.fixture(scope="module")
def made() -> SimulatedSession:
    return simulate(PLAN)


@pytest.fixture(scope="module")
def lake(made: SimulatedSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with the archived events of the simulated session."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings.from_env({"TRUETAPE_HOME": str(home), "TRUETAPE_STORE": "embedded"})
    lake_session(made.truth.events, SESSION).write(settings.lake)
    return settings


def truth_at(made: SimulatedSession, instant_ns: int) -> list[Trade]:
    """Return the trades in force at an instant, applying events one by one as they arrived."""
    in_force: dict[tuple[str, str | None], Trade] = {}
    for event in made.truth.events:
        key = (event.symbol, event.id)
        if event.received_ns > instant_ns:
            break
        match event:
            case Trade():
                in_force.setdefault(key, event)
            case Cancel():
                del in_force[key]
            case Correction():
                in_force[key] = replace(in_force[key], price=event.price, size=event.size)
    return list(in_force.values())


def expected(trades: list[Trade], symbol: str, resolution: Resolution) -> dict[int, Bar]:
    counted = [CanonicalTrade(trade) for trade in trades if trade.symbol == symbol]
    made = bars(counted, load("sip"), resolution, {"XNYS": [SESSION]})
    return {bar.start_ns: bar for bar in made if bar.is_served}


def instants() -> list[int]:
    draw = Random(11)
    first, last = SESSION.open_ns or 0, (SESSION.close_ns or 0) + 600 * SECOND
    return sorted(draw.randrange(first, last) for _ in range(10))


def test_bars_as_of_random_instants_equal_the_simulators_truth_at_that_instant(
    made: SimulatedSession, lake: Settings
) -> None:
    seen = set()
    for instant in instants():
        truth = truth_at(made, instant)
        for symbol in PLAN.symbols:
            for resolution in (Resolution.MINUTE, Resolution.DAY):
                request = AsOfRequest(XNYS, symbol, resolution, SESSION.start_ns, SESSION.end_ns)
                actual = {bar.start_ns: bar for bar in bars_as_of(lake, request, instant)}
                truth_bars = expected(truth, symbol, resolution)
                assert actual.keys() == truth_bars.keys()
                for start, bar in truth_bars.items():
                    values = [float(getattr(actual[start], name)) for name in NUMBERS]
                    assert values == [float(getattr(bar, name) or 0) for name in NUMBERS]
                seen.add(tuple(truth_bars))
    assert len(seen) > 15  # the instants give different bars


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_env(environment)


def served(settings: Settings, resolution: Resolution, symbol: str) -> list[ServedBar]:
    with closing(open_store(settings)) as store:
        return list(
            store.read(resolution, FRIDAY.start_ns, FRIDAY.end_ns, venue="XNYS", symbols=[symbol])
        )


def test_bars_as_of_a_publication_equal_its_served_rows(
    settings: Settings,
) -> None:
    """Three publications; between them a trade is cancelled, and then the only trade of a bar."""
    events: list[Event] = list(DAY)
    snapshots: list[tuple[int, dict[Resolution, list[ServedBar]]]] = []
    for gone in (None, "62", "121"):
        if gone is not None:
            events.append(cancel(gone, time.time_ns(), symbol="IBM"))
        lake_session(events).write(settings.lake)
        with closing(open_store(settings)) as store:
            store.ensure_buckets()
            publish_and_record(settings.lake, store, as_of_ns=time.time_ns())
        rows = {resolution: served(settings, resolution, "IBM") for resolution in Resolution}
        snapshots.append((time.time_ns(), rows))

    for instant, rows in snapshots:
        for resolution in Resolution:
            request = AsOfRequest(XNYS, "IBM", resolution, FRIDAY.start_ns, FRIDAY.end_ns)
            assert bars_as_of(settings, request, instant) == rows[resolution]
    assert {bar.rev for bar in snapshots[2][1][Resolution.MINUTE]} == {1, 2, 3}
    assert any(bar.void for bar in snapshots[2][1][Resolution.MINUTE])


def test_bars_before_their_first_publication_are_provisional(settings: Settings) -> None:
    lake_session(DAY).write(settings.lake)
    request = AsOfRequest(XNYS, "IBM", Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns)

    [first, *_] = bars_as_of(settings, request, NOON + HOUR)

    assert (first.final, first.rev, first.layer, first.volume) == (False, 0, "batch", 10.0)


def test_a_published_bar_without_trades_is_void_and_provisional_until_published_again() -> None:
    bar = ServedBar("IBM", "XNYS", 0, 1, 1, 1, 1, 1, 1, 1, 0, 7, "batch", False, False)

    [gone] = bars_known_at({}, [(3, {0: bar})])

    assert (gone.void, gone.final, gone.rev, gone.seq) == (True, False, 0, 7)


def test_a_cancel_of_the_next_day_s_trade_does_not_touch_this_day_s_trade_of_the_same_id(
    settings: Settings,
) -> None:
    """Ids are unique only within a day; a cancel means the trade received last before it."""
    day_s = 86_400
    monday = [
        printed(3 * day_s + 1, "120"),
        cancel("1", NOON + 3 * day_s * SECOND + 60 * SECOND, symbol="IBM"),
    ]
    reused = replace(monday[0], id="1")
    lake_session([*DAY, reused, monday[1]]).write(settings.lake)
    request = AsOfRequest(XNYS, "IBM", Resolution.SECOND, NOON, NOON + 2 * SECOND)

    [first] = bars_as_of(settings, request, NOON + 4 * day_s * SECOND)

    assert (first.void, first.close) == (False, 100.0)


Run = Callable[..., Result]


@pytest.fixture
def run(environment: dict[str, str], settings: Settings) -> Run:
    lake_session(DAY).write(settings.lake)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(show, arguments, env=environment)

    return invoke


def test_show_as_of_prints_the_bars_known_at_an_instant(run: Run) -> None:
    """A minute after noon neither the cancel of trade 2 nor trade 63 had been received."""
    options = ("--venue", "XNYS", "--format", "csv", "--as-of", "2024-11-22T17:02:30Z")

    lines = run("IBM", *options).output.splitlines()

    assert [line.split(",")[2:9] for line in lines[1:]] == [
        ["2024-11-22T17:00:00Z", "100.0", "100.0", "100.0", "100.0", "20.0", "100.0"],
        ["2024-11-22T17:01:00Z", "100.0", "100.0", "100.0", "100.0", "20.0", "100.0"],
        ["2024-11-22T17:02:00Z", "100.0", "100.0", "100.0", "100.0", "10.0", "100.0"],
    ]


def test_show_as_of_accepts_a_period_or_a_number_of_bars(run: Run) -> None:
    late = ("--as-of", "2024-11-22T20:00:00Z", "--venue", "XNYS", "--format", "csv")

    window = run("IBM", "--from", "2024-11-22T17:01:00Z", "--to", "2024-11-22T17:02:00Z", *late)
    last = run("IBM", "--last", "1", *late)

    assert [line.split(",")[2] for line in window.output.splitlines()[1:]] == [
        "2024-11-22T17:01:00Z"
    ]
    assert [line.split(",")[3] for line in last.output.splitlines()[1:]] == ["102.0"]


def test_a_period_of_too_many_days_is_refused(settings: Settings) -> None:
    request = AsOfRequest(XNYS, "IBM", Resolution.DAY, NOON - 40 * 24 * HOUR, NOON)

    with pytest.raises(ConfigError, match="more than 31 days"):
        bars_as_of(settings, request, NOON)
