"""What is read of a lake for one session, and what is not."""

from pathlib import Path

import pytest

from support.build import SECOND, VENUES, cancel, trade
from support.session_lake import FRIDAY, NOON, good_events, lake_session
from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.market.ranges import Range
from truetape.quality import session_tables
from truetape.quality.session_tables import Coverage, fingerprint, read_session

THURSDAY = calendars.session(VENUES["XNYS"], FRIDAY.date.replace(day=21))
SATURDAY = calendars.session(VENUES["XNYS"], FRIDAY.date.replace(day=23))


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path)


def test_a_session_is_read_ordered_by_symbol(lake: str) -> None:
    lake_session(good_events()).write(lake)

    tables = read_session(lake, FRIDAY)

    assert tables.trades is not None
    keys = [(row["symbol"], row["ordinal"]) for row in tables.trades.to_pylist()]
    assert keys == sorted(keys)
    assert len(keys) == tables.archived == 85
    assert tables.coverage == (Coverage("trades", 0, Range(0, 90), records=90, distinct=90),)
    events = [amendment.event for amendment in tables.amendments]
    assert sorted((type(event).__name__, event.symbol, event.id) for event in events) == [
        ("Cancel", "IBM", "1008"), ("Cancel", "KO", "1008"),
        ("Correction", "IBM", "1009"), ("Correction", "KO", "1009"),
    ]  # fmt: skip


def test_trades_of_other_days_and_venues_are_not_counted(lake: str) -> None:
    other = [
        trade(id="a", event_ns=FRIDAY.start_ns - 1, received_ns=FRIDAY.start_ns),
        trade(id="b", event_ns=FRIDAY.end_ns, received_ns=FRIDAY.end_ns),
        trade(id="c", event_ns=NOON, received_ns=NOON, venue="XNAS"),
        cancel("c", NOON, venue="XNAS"),
        cancel("a", FRIDAY.start_ns - 1),
    ]
    lake_session([*good_events(), *other]).write(lake)

    tables = read_session(lake, FRIDAY)

    assert (tables.archived, len(tables.amendments)) == (85, 4)


def test_a_late_trade_does_not_extend_the_offsets_that_are_counted(lake: str) -> None:
    """A trade that comes a week later, and a heartbeat that is missing between."""
    week = 7 * 86_400 * SECOND
    late = trade(id="late", event_ns=NOON, received_ns=NOON + week)
    beats = [trade(id=str(day), event_ns=NOON + day * 86_400 * SECOND,
                   received_ns=NOON + day * 86_400 * SECOND, venue="KRAKEN")
             for day in range(1, 7)]  # fmt: skip
    made = lake_session([*good_events(), *beats, late])
    made.raw = [row for row in made.raw if row["offset"] != 93]
    made.write(lake)

    (coverage,) = read_session(lake, FRIDAY).coverage

    assert (coverage.offsets.last, coverage.records) == (89, 90)


NAME = ("truetape", "XNYS", "IBM", "900")


@pytest.mark.parametrize(
    ("before", "found"),
    [
        pytest.param(FRIDAY.date.replace(day=21), {NAME}, id="Thursday"),
        pytest.param(FRIDAY.date.replace(day=20), None, id="Thursday was not recomputed"),
    ],
)
def test_amended_trades_of_earlier_sessions_are_found_by_id(
    lake: str, before: object, found: set[object] | None
) -> None:
    events = [*good_events(), cancel("900", NOON), cancel("901", NOON)]
    made = lake_session(events)
    made.before = [row | {"session": before} for row in made.before]
    made.write(lake)

    assert read_session(lake, FRIDAY).named_before == found


def test_the_fingerprint_depends_on_the_session_s_own_files_only(lake: str) -> None:
    made = lake_session(good_events())
    made.write(lake)
    first = fingerprint(lake, FRIDAY)

    assert fingerprint(lake, FRIDAY) == first
    assert fingerprint(lake, THURSDAY) != first
    made.write(lake)
    assert fingerprint(lake, FRIDAY) != first


def test_a_missing_table_or_session_is_reported_with_the_command_to_run(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="run `truetape recompute` first"):
        read_session(lake, FRIDAY)
    lake_session(good_events()).write(lake)
    with pytest.raises(ConfigError, match="recompute --venue XNYS --session 2024-11-23`"):
        read_session(lake, SATURDAY)
    monkeypatch.setattr(session_tables, "MAX_TRADES", 84)
    with pytest.raises(ConfigError, match="85 trades; the gate checks sessions of up to 84"):
        read_session(lake, FRIDAY)
