"""The local engine writes the rows of `trades` and `bars` that the reference makes of `raw`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from support.build import SECOND, VENUES
from support.session_lake import FRIDAY, LakeSession, good_events, lake_session
from truetape.batch.local import parts as local
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_recompute import recompute, recompute_as_of
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import venues
from truetape.host.calendars import session as session_on
from truetape.host.profiles import load
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.delta import read_rows
from truetape.lake.events import RawEvents
from truetape.lake.tables import Table
from truetape.market.sessions import Session
from truetape.market.trades import Event, Trade

RULES = RecomputeRules(load("sip"), venues.venues(), lateness_ns=60 * SECOND)
TROUBLED = Faults(late=0.02, duplicate=0.03, cancel=0.03, correct=0.03)
SATURDAY = session_on(VENUES["XNYS"], date(2024, 11, 23))


def simulated() -> Sequence[Event]:
    plan = SimulationPlan(FRIDAY.date, venue="XNYS", seed=3, trades=2_000, faults=TROUBLED)
    return simulate(plan).truth.events


def rows(lake: str, table: Table, **values: object) -> list[dict[str, Any]]:
    filters = [(name, "=", value) for name, value in values.items()] or None
    found = read_rows(lake, table, filters)
    keys = ("session", "symbol", "resolution", "start_ns", "ordinal")
    return sorted(found, key=lambda row: [row[key] for key in keys if key in row])


def expected(made: LakeSession, lake: str) -> list[list[dict[str, Any]]]:
    """Write what the reference makes of the events into a lake and read it back."""
    made.write(lake)
    return [rows(lake, table, session=FRIDAY.date) for table in (Table.TRADES, Table.BARS)]


def with_raw(made: LakeSession, lake: str) -> str:
    """Write `raw` alone."""
    made = made.copy()
    made.trades, made.bars, made.before = [], [], []
    made.write(lake)
    return lake


@pytest.mark.parametrize("events", [good_events, simulated], ids=["quiet", "all troubles"])
def test_rows_equal_those_of_the_reference(
    tmp_path: Path, events: Callable[[], Sequence[Event]]
) -> None:
    made = lake_session(events())
    want = expected(made, str(tmp_path / "reference"))
    lake = with_raw(made, str(tmp_path / "lake"))

    counts = recompute(lake, FRIDAY, RULES, local.computed)

    assert [rows(lake, Table.TRADES), rows(lake, Table.BARS)] == want
    assert (counts.trades, counts.duplicates, counts.cancelled, counts.corrected) == (
        len(want[0]),
        sum(row["duplicate"] for row in want[0]),
        sum(row["cancelled"] for row in want[0]),
        sum(row["corrected"] for row in want[0]),
    )
    assert sum(counts.bars.values()) == sum(row["served"] for row in want[1])


def test_a_large_session_is_divided_by_symbol_and_has_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_PART_EVENTS", 300)
    made = lake_session(simulated())
    want = expected(made, str(tmp_path / "reference"))
    lake = with_raw(made, str(tmp_path / "lake"))

    parts = list(local.parts_of(SessionDeliveries(RawEvents(lake), FRIDAY)))
    recompute(lake, FRIDAY, RULES, local.computed)

    assert len(parts) > 5
    assert sum(part.num_rows > 0 for part in parts) > 1
    assert [rows(lake, Table.TRADES), rows(lake, Table.BARS)] == want


def test_a_second_run_gives_the_same_rows_and_leaves_other_sessions(tmp_path: Path) -> None:
    made = lake_session(good_events())
    lake = str(tmp_path / "lake")
    made.write(lake)
    before = [rows(lake, Table.TRADES), rows(lake, Table.BARS)]

    first, second = (
        recompute(lake, FRIDAY, RULES, local.computed),
        recompute(lake, FRIDAY, RULES, local.computed),
    )

    assert first == second
    assert [rows(lake, Table.TRADES), rows(lake, Table.BARS)] == before
    assert made.before


def test_only_the_named_symbols_are_replaced(tmp_path: Path) -> None:
    made = lake_session(good_events())
    want = expected(made, str(tmp_path / "reference"))
    broken = made.copy()
    for row in [*broken.trades, *broken.bars]:
        row["symbol"] = {"IBM": "IBM", "KO": "KO"}.get(row["symbol"], row["symbol"])
    for row in broken.bars:
        row["trades"] += 1
    lake = str(tmp_path / "lake")
    broken.write(lake)

    recompute(lake, FRIDAY, RULES, local.computed, ["KO"])

    def symbol(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in found if row["symbol"] == name]

    bars = rows(lake, Table.BARS)
    assert symbol("KO", bars) == symbol("KO", want[1])
    assert symbol("IBM", bars) != symbol("IBM", want[1])
    assert symbol("IBM", rows(lake, Table.TRADES, session=FRIDAY.date)) == symbol("IBM", want[0])


@pytest.mark.parametrize(
    "session", [SATURDAY, session_on(VENUES["KRAKEN"], FRIDAY.date)], ids=["closed", "other venue"]
)
def test_a_session_without_trades_has_no_rows(tmp_path: Path, session: Session) -> None:
    lake = with_raw(lake_session(good_events()), str(tmp_path / "lake"))

    counts = recompute(lake, session, RULES, local.computed)

    assert (counts.trades, counts.bars) == (0, {})
    assert rows(lake, Table.TRADES) == rows(lake, Table.BARS) == []


def test_codes_that_the_profile_does_not_know_are_counted(tmp_path: Path) -> None:
    first, second, *others = good_events()
    assert isinstance(first, Trade)
    assert isinstance(second, Trade)
    odd = [replace(first, conditions=("zz", "@", "y")), replace(second, conditions=("zz",))]
    lake = with_raw(lake_session([*odd, *others]), str(tmp_path))

    made = recompute(lake, FRIDAY, RULES, local.computed)
    as_of = recompute_as_of(lake, FRIDAY, RULES, local.computed, FRIDAY.end_ns)

    assert made.unknown_codes == {"zz": 2, "y": 1}
    assert as_of.counts.unknown_codes == {"zz": 2, "y": 1}
    assert made.unknown_conditions == 2
