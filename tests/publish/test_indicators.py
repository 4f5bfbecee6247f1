"""Indicators of a session: computed from the lake and published once."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from support.build import VENUES
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.lake.schemas import NUMBER
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.publish.indicators import publish_indicators
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, IndicatorRow

VENUE = VENUES["KRAKEN"]
DAY_BEFORE = session(VENUE, date(2025, 11, 9))
TODAY = session(VENUE, date(2025, 11, 10))
MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    env = {"TRUETAPE_HOME": str(tmp_path), "TRUETAPE_STORE": "embedded"}
    opened = open_store(Settings.from_env(env | {"TRUETAPE_BUCKET_SET": "history"}))
    opened.ensure_buckets()
    return opened


def test_an_average_includes_bars_of_the_day_before(tmp_path: Path, store: BarStore) -> None:
    lake = str(tmp_path / "lake")
    last = [minute(DAY_BEFORE, 1_440 - 19 + number, "100") for number in range(19)]
    write(lake, DAY_BEFORE, last)
    write(lake, TODAY, [minute(TODAY, 0, "120")])

    publish_indicators(lake, store, VENUE, TODAY, rev=1)

    (row,) = served(store)
    assert row.values["sma_20"] == 101.0
    assert "sma_50" not in row.values


def test_the_session_vwap_restarts_and_is_weighted_by_priced_volume(
    tmp_path: Path, store: BarStore
) -> None:
    lake = str(tmp_path / "lake")
    write(lake, DAY_BEFORE, [minute(DAY_BEFORE, 0, "900")])
    write(lake, TODAY, [minute(TODAY, 0, "100", "1"), minute(TODAY, 1, "103", "2")])

    publish_indicators(lake, store, VENUE, TODAY, rev=1)

    assert [row.values["session_vwap"] for row in served(store)] == [100.0, 102.0]


def test_each_of_many_symbols_gets_the_indicators_of_its_own_bars(
    tmp_path: Path, store: BarStore
) -> None:
    lake = str(tmp_path / "lake")
    bars = [
        minute(TODAY, number, str(1 + place)) | {"symbol": f"S{place}"}
        for place in range(300)
        for number in range(1 + place % 3)
    ]
    write(lake, TODAY, bars)

    publish_indicators(lake, store, VENUE, TODAY, rev=1)

    rows = served(store)
    assert len(rows) == len(bars)
    assert all(row.values["session_vwap"] == 1 + int(row.symbol[1:]) for row in rows)


def test_a_second_run_writes_nothing(tmp_path: Path, store: BarStore) -> None:
    lake = str(tmp_path / "lake")
    write(lake, TODAY, [minute(TODAY, number, "100") for number in range(30)])

    assert publish_indicators(lake, store, VENUE, TODAY, rev=1) == 30
    assert publish_indicators(lake, store, VENUE, TODAY, rev=2) == 0


def test_a_row_whose_bar_is_gone_becomes_void(tmp_path: Path, store: BarStore) -> None:
    lake = str(tmp_path / "lake")
    write(lake, TODAY, [minute(TODAY, 0, "100"), minute(TODAY, 5, "101")])
    publish_indicators(lake, store, VENUE, TODAY, rev=1)
    write(lake, TODAY, [minute(TODAY, 0, "100")])

    assert publish_indicators(lake, store, VENUE, TODAY, rev=2) == 1

    assert [row.void for row in served(store)] == [False, True]


def test_bars_written_by_spark_get_indicators(tmp_path: Path, store: BarStore) -> None:
    """Spark writes no bounds for booleans; delta-rs would read that as no rows."""
    lake = str(tmp_path / "lake")
    unpriced = minute(TODAY, 2, "7") | {"served": False}
    write(lake, TODAY, [minute(TODAY, 0, "100"), minute(TODAY, 1, "101"), unpriced])
    delete_bounds_of_booleans(Path(lake) / "bars")

    assert publish_indicators(lake, store, VENUE, TODAY, rev=1) == 2


def delete_bounds_of_booleans(table: Path) -> None:
    (log,) = (table / "_delta_log").glob("*.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            stats = json.loads(action["add"]["stats"])
            for bounds in ("minValues", "maxValues"):
                del stats[bounds]["served"]
            action["add"]["stats"] = json.dumps(stats)
    log.write_text("\n".join(map(json.dumps, actions)))


def served(store: BarStore) -> list[IndicatorRow]:
    rows = store.read_indicators(Resolution.MINUTE, TODAY.start_ns, TODAY.end_ns, venue=VENUE.code)
    return list(rows)


def minute(day: Session, number: int, price: str, volume: str = "1") -> dict[str, object]:
    """Return a served 1m bar, `number` minutes after the session's start, all prices equal."""
    return {
        "venue": day.venue,
        "session": day.date,
        "symbol": "XBTUSD",
        "resolution": "1m",
        "start_ns": day.start_ns + number * MINUTE_NS,
        "close": Decimal(price),
        "priced_volume": Decimal(volume),
        "vwap": Decimal(price),
        "served": True,
    }


def write(lake: str, day: Session, bars: list[dict[str, object]]) -> None:
    schema = pa.schema(
        {
            "venue": pa.string(),
            "session": pa.date32(),
            "symbol": pa.string(),
            "resolution": pa.string(),
            "start_ns": pa.int64(),
            "close": NUMBER,
            "priced_volume": NUMBER,
            "vwap": NUMBER,
            "served": pa.bool_(),
        }
    )
    table = pa.Table.from_pylist(bars, schema=schema)
    path = f"{lake}/bars"
    if not Path(path).exists():
        write_deltalake(path, table, partition_by=["venue", "session"])
        return
    where = f"venue = '{day.venue}' AND session = '{day.date}'"
    write_deltalake(path, table, mode="overwrite", predicate=where)
