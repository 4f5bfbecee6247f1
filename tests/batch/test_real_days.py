"""Real days: batch and stream give the same bars as the reference, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from support.build import READ_MS, SECOND
from support.data import real_data
from support.raw import put_table
from support.spark_bars import bar_of, text_of
from support.staged import stage
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_recompute import recompute
from truetape.batch.spark import parts as on_spark
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.lake.delta import open_table, read_rows
from truetape.lake.tables import Table
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.rejection import Rejected
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.sessions import Session
from truetape.speed.counting import Counting, CountingRules
from truetape.speed.state import SpeedState

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.data

LATENESS_NS = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class Day:
    """A file of real trades, and how to read it."""

    file: tuple[str, ...]
    feed: str
    profile: str
    venue: str
    dates: tuple[date, ...]
    trades: int
    payloads: int

    @property
    def sessions(self) -> list[Session]:
        """The sessions that its trades lie in."""
        return [session(venues()[self.venue], day) for day in self.dates]


IBM = Day(
    ("lean_us_equity_2013-10", "tick", "ibm", "20131007_trade.zip"),
    "lean-equity-tick",
    "lean",
    "USEQ",
    (date(2013, 10, 7),),
    trades=24_293,
    payloads=24_293,
)
KRAKEN = Day(
    ("kraken_xbtusdt_2025-11-10", "http_trades.json"),
    "kraken-rest",
    "all",
    "KRAKEN",
    (date(2025, 11, 10), date(2025, 11, 11)),
    trades=1_000,
    payloads=1,
)
BOTH = pytest.mark.parametrize("day", [IBM, KRAKEN], ids=lambda day: day.venue)


@pytest.mark.spark
@BOTH
def test_recomputed_bars_of_a_real_day_equal_the_reference(
    spark: "SparkSession", tmp_path: Path, day: Day
) -> None:
    lake, engine = str(tmp_path / "lake"), partial(on_spark.computed, spark=spark)
    stage(real_data(*day.file), load_contract(day.feed), tmp_path / "records", READ_MS)
    put_table(lake, pq.read_table(tmp_path / "records"))
    rules = RecomputeRules(load(day.profile), venues(), lateness_ns=60 * SECOND)

    outcomes = [recompute(lake, one, rules, engine) for one in day.sessions]

    assert open_table(lake, Table.RAW).count(pc.scalar(True)) == day.payloads
    assert sum(outcome.trades for outcome in outcomes) == day.trades
    found = sorted(text_of(bar_of(SimpleNamespace(**row))) for row in read_rows(lake, Table.BARS))
    assert found == expected(day, list(Resolution))


@BOTH
@pytest.mark.parametrize("batches", [pytest.param(1, marks=pytest.mark.real), 5])
def test_streamed_bars_of_a_real_day_equal_the_reference(
    tmp_path: Path, day: Day, batches: int
) -> None:
    feed = load_contract(day.feed)
    stage(real_data(*day.file), feed, tmp_path / "records", READ_MS)
    records = pq.read_table(tmp_path / "records")
    rules = CountingRules({feed.feed: feed}, load(day.profile), Limits(), LATENESS_NS)
    counting, state = Counting(rules), SpeedState()
    served: dict[tuple[object, ...], str] = {}

    size = -(-records.num_rows // batches)
    for begin in range(0, records.num_rows, size):
        for row in state.add(counting.counted(records.slice(begin, size))).to_pylist():
            bar = Bar(**(row | {"resolution": Resolution(row["resolution"])}))
            served[bar.symbol, bar.resolution, bar.start_ns] = text_of(bar)

    assert sorted(served.values()) == expected(day, STREAMED, is_served=True)
    assert state.position().offsets["0"] == records["offset"].to_numpy().max() + 1
    assert (state.records, state.late, state.closed) == (day.payloads, 0, 0)


def expected(day: Day, resolutions: Sequence[Resolution], *, is_served: bool = False) -> list[str]:
    """Fold the file with the reference; `is_served` leaves out bars without a price."""
    items = decode_file(real_data(*day.file), load_contract(day.feed), Limits(), READ_MS)
    events = [event for _, found in items for event in found if not isinstance(event, Rejected)]
    settled = canonical(events, venues()).trades
    return sorted(
        text_of(bar)
        for resolution in resolutions
        for bar in bars(settled, load(day.profile), resolution, {day.venue: day.sessions})
        if bar.is_served or not is_served
    )
