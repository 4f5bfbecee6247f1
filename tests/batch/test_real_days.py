"""Real days: batch and stream give the same bars as the reference, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from truetape.speed.stream import provisional_bars, trades_of

from support.build import READ_MS, SECOND
from support.data import real_data
from support.raw import put_table
from support.spark_bars import bar_of, streamed, text_of
from support.spark_lake import stage
from truetape.batch.recompute import RecomputeRules
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.recompute import recompute
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.lake.delta import open_table
from truetape.lake.tables import Table
from truetape.market.bars import bars
from truetape.market.canonical import canonical
from truetape.market.rejection import Rejected
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.sessions import Session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.data]

LATENESS_S = 86_400
MICRO_BATCHES = 5


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


@BOTH
def test_recomputed_bars_of_a_real_day_equal_the_reference(
    spark: "SparkSession", tmp_path: Path, day: Day
) -> None:
    lake = Lake(str(tmp_path / "lake"))
    stage(real_data(*day.file), load_contract(day.feed), tmp_path / "records", READ_MS)
    put_table(lake.root, pq.read_table(tmp_path / "records"))
    rules = RecomputeRules(load(day.profile), venues(), lateness_ns=60 * SECOND)

    outcomes = [recompute(spark, lake, one, rules) for one in day.sessions]

    assert open_table(lake.root, Table.RAW).count(pc.scalar(True)) == day.payloads
    assert sum(outcome.trades for outcome in outcomes) == day.trades
    found = sorted(text_of(bar_of(row)) for row in lake.read(spark, Table.BARS).collect())
    assert found == expected(day, list(Resolution))


@BOTH
def test_streamed_bars_of_a_real_day_equal_the_reference(
    spark: "SparkSession", tmp_path: Path, day: Day
) -> None:
    arrivals = str(tmp_path / "arrivals")
    records = staged(spark, day, tmp_path / "records")
    records.repartitionByRange(MICRO_BATCHES, "offset").write.parquet(arrivals)
    source = spark.readStream.schema(records.schema).option("maxFilesPerTrigger", 1)
    trades = trades_of(source.parquet(arrivals), [load_contract(day.feed)], Limits(), venues())

    found = streamed(
        provisional_bars(trades, load(day.profile), LATENESS_S, []), tmp_path / "checkpoint"
    )

    batches = len(list((tmp_path / "checkpoint" / "commits").glob("[0-9]*")))
    assert batches >= min(MICRO_BATCHES, day.payloads)
    assert sorted(found.values()) == expected(day, STREAMED)


def staged(spark: "SparkSession", day: Day, folder: Path) -> "DataFrame":
    """Return the file's records with the columns that the decoder reads."""
    stage(real_data(*day.file), load_contract(day.feed), folder, READ_MS)
    return spark.read.parquet(str(folder))


def expected(day: Day, resolutions: Sequence[Resolution]) -> list[str]:
    items = decode_file(real_data(*day.file), load_contract(day.feed), Limits(), READ_MS)
    events = [event for _, found in items for event in found if not isinstance(event, Rejected)]
    settled = canonical(events, venues()).trades
    return sorted(
        text_of(bar)
        for resolution in resolutions
        for bar in bars(settled, load(day.profile), resolution, {day.venue: day.sessions})
    )
