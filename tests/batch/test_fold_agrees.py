"""The Spark expression for bars and the reference fold give the same bytes, in both layers."""

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.build import SECOND, VENUES
from support.market import EVENT_ROW, event_row, trades_of, troubled
from truetape.batch.canonical import canonical as spark_canonical
from truetape.batch.canonical import event_of
from truetape.batch.eligibility import judge
from truetape.batch.recompute import in_day, session_bars
from truetape.calendars import sessions
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.profiles import load
from truetape.speed.stream import RESOLUTIONS, provisional_bars

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

pytestmark = pytest.mark.spark

DAY = date(2026, 11, 20)
SESSION = sessions(VENUES["XNYS"], DAY, DAY)[0]
KINDS = ("number", "text", "none", "sequence")
PROFILE = load("sip")


def test_batch_bars_equal_the_reference_on_troubled_sessions(spark: "SparkSession") -> None:
    events = [
        event
        for number in range(60)
        for event in troubled(
            trades_of(f"S{number}", number, 40, ids=KINDS[number % 4]), seed=number
        )
    ]

    assert batch_bars(spark, events) == expected(events, list(Resolution))


def test_the_order_and_the_split_of_arrival_do_not_move_a_bar(spark: "SparkSession") -> None:
    events = troubled(trades_of("IBM", 1, 300, ids="number"), seed=1)
    shuffled = random.Random(2).sample(events, len(events))

    assert batch_bars(spark, shuffled) == batch_bars(spark, events)


@pytest.mark.parametrize("files", [1, 7])
def test_streamed_bars_equal_the_reference_whatever_the_micro_batches(
    spark: "SparkSession", tmp_path: Path, files: int
) -> None:
    trades = [
        trade
        for number in range(20)
        for trade in trades_of(f"S{number}", number, 40, ids=KINDS[number % 4])
    ]
    repeated = trades + random.Random(3).sample([t for t in trades if t.id is not None], 200)
    arrivals = random.Random(files).sample(repeated, len(repeated))

    served = streamed_bars(spark, arrivals, tmp_path, files)

    assert served == expected(trades, list(RESOLUTIONS))


def test_a_query_that_is_stopped_and_started_again_goes_on_where_it_was(
    spark: "SparkSession", tmp_path: Path
) -> None:
    trades = trades_of("IBM", 5, 200, ids="number")
    half = tmp_path / "arrivals"
    stage(spark, trades[:100], half / "first")

    before = run_stream(spark, half, tmp_path / "checkpoint")
    stage(spark, trades[50:], half / "second")
    after = run_stream(spark, half, tmp_path / "checkpoint")

    assert list((before | after).values()) == expected(trades, list(RESOLUTIONS))


def expected(events: Sequence[Event], resolutions: Sequence[Resolution]) -> list[str]:
    settled = canonical(events, VENUES).trades
    found = [
        bar
        for resolution in resolutions
        for bar in bars(settled, PROFILE, resolution, {"XNYS": [SESSION]})
    ]
    return sorted(text_of(bar) for bar in found)


def batch_bars(spark: "SparkSession", events: Sequence[Event]) -> list[str]:
    frame = spark.createDataFrame([event_row(event) for event in events], EVENT_ROW)
    trades = frame.where("kind = 'trade'")
    amendments = [event_of(row) for row in frame.where("kind <> 'trade'").collect()]
    settled = spark_canonical(trades, amendments, VENUES)  # type: ignore[arg-type]
    flagged = judge(settled, PROFILE).withColumn("in_day", in_day(SESSION))
    rows = session_bars(flagged, SESSION, PROFILE).collect()
    return sorted(text_of(bar_of(row)) for row in rows)


def streamed_bars(
    spark: "SparkSession", arrivals: Sequence[Trade], folder: Path, files: int
) -> list[str]:
    size = -(-len(arrivals) // files)
    for number in range(files):
        part = arrivals[number * size : (number + 1) * size]
        stage(spark, part, folder / "arrivals" / f"{number:03d}")
    return list(run_stream(spark, folder / "arrivals", folder / "checkpoint").values())


def stage(spark: "SparkSession", trades: Sequence[Trade], folder: Path) -> None:
    rows = [(*event_row(trade), None, DAY) for trade in trades]
    frame = spark.createDataFrame(rows, f"{EVENT_ROW}, event_time timestamp, session date")
    timed = frame.selectExpr(
        "* except (event_time)", "timestamp_micros(event_ns div 1000) as event_time"
    )
    timed.coalesce(1).write.parquet(str(folder))


def run_stream(
    spark: "SparkSession", folder: Path, checkpoint: Path
) -> dict[tuple[object, ...], str]:
    """Run the plan over all files, one a batch, and keep the last row of each key,
    sorted by text.
    """
    schema = spark.read.parquet(str(next(folder.iterdir()))).schema
    source = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
    last: dict[tuple[object, ...], str] = {}

    def keep(frame: "DataFrame", _: int) -> None:
        for row in frame.collect():
            last[row.symbol, row.resolution, row.start_ns] = text_of(bar_of(row))

    query = (
        provisional_bars(source.parquet(f"{folder}/*"), PROFILE, 3_600, ["truetape"])
        .writeStream.outputMode("update")
        .option("checkpointLocation", str(checkpoint))
        .trigger(availableNow=True)
        .foreachBatch(keep)
        .start()
    )
    query.awaitTermination()
    return dict(sorted(last.items(), key=lambda item: item[1]))


def bar_of(row: "Row") -> Bar:
    return Bar(
        row.symbol, row.venue, Resolution(row.resolution), row.start_ns,
        row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
    )  # fmt: skip


def text_of(bar: Bar) -> str:
    """Every field as exact text: two bars are equal when their bytes are."""
    numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
    exact = ["" if number is None else f"{number.normalize():f}" for number in numbers]
    place = [bar.symbol, bar.resolution.value, str(bar.start_ns // SECOND)]
    return "|".join([*place, *exact, str(bar.trades)])
