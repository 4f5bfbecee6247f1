"""The Spark expression for bars and the reference fold give the same bytes in the speed layer.

A Spark job costs about a second, so each example draws many markets and folds them in one.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from support.build import VENUES
from support.market import (
    CONDITIONS,
    EVENT_ROW,
    LEAN_CONDITIONS,
    event_row,
    markets,
    placed,
    trades,
)
from support.spark_bars import streamed, text_of
from truetape.feeds.native import encode
from truetape.host.calendars import sessions
from truetape.host.profiles import load
from truetape.market.bars import bars
from truetape.market.canonical import canonical
from truetape.market.eligibility import Profile
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.trades import Event
from truetape.speed.stream import provisional_bars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

DAY = date(2026, 11, 20)
SESSION = sessions(VENUES["XNYS"], DAY, DAY)[0]
PROFILES = st.sampled_from(["sip", "lean", "all"]).map(load)
CODES = (*CONDITIONS, *LEAN_CONDITIONS)
ORDERS = st.integers(0, 99)
"""Orders of arrival; the first is as drawn."""
DAY_S = 86_400
SEARCHING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which takes a job a step: `fewest` does it in a few."""

Markets = dict[str, list[Event]]
Fold = Callable[[list[Event]], list[str]]
"""From events to bars as text."""


@settings(max_examples=5, deadline=None, phases=SEARCHING)
@given(
    drawn=markets(trades(conditions=CODES), most=10),
    profile=PROFILES,
    order=ORDERS,
    batches=st.integers(1, 4),
    killed_after=st.integers(0, 3),
)
def test_streamed_bars_equal_the_reference_whatever_the_micro_batches(
    *,
    spark: "SparkSession",
    tmp_path_factory: pytest.TempPathFactory,
    drawn: Markets,
    profile: Profile,
    order: int,
    batches: int,
    killed_after: int,
) -> None:
    """The query is killed after some batches, the last of which it has to repeat."""

    def arrivals(prints: list[Event]) -> list[Event]:
        repeated = [one for one in prints if one.id is not None]
        return arranged([*prints, *repeated], order)

    def streamed_ones(prints: list[Event]) -> list[str]:
        parts = list(split(arrivals(prints), batches))
        folder = tmp_path_factory.mktemp("stream")
        return streamed_bars(spark, parts, min(killed_after, len(parts)), profile, folder)

    hold_equal(drawn, streamed_ones, lambda prints: expected(prints, STREAMED, profile))


def arranged(arrivals: list[Event], order: int) -> list[Event]:
    return random.Random(order).sample(arrivals, len(arrivals)) if order else arrivals


def split(arrivals: list[Event], batches: int) -> Iterator[list[Event]]:
    size = -(-len(arrivals) // batches)
    for begin in range(0, len(arrivals), size):
        yield arrivals[begin : begin + size]


def hold_equal(drawn: Markets, ours: Fold, theirs: Fold) -> None:
    """Compare all bars; a failure shows the fewest events of one symbol that make bars differ."""
    found, wanted = (fold(everything(drawn)) for fold in (ours, theirs))
    if sorted(found) == sorted(wanted):
        return
    guilty = {symbol_of(bar) for bar in {*found} ^ {*wanted}}
    assert guilty, "a bar came twice"
    market = fewest(drawn[min(guilty)], ours, theirs)
    found, wanted = (fold(market) for fold in (ours, theirs))
    lines = [encode(event) for event in market]
    lines += [f"Spark     {bar}" for bar in sorted({*found} - {*wanted})]
    lines += [f"reference {bar}" for bar in sorted({*wanted} - {*found})]
    pytest.fail("these events give other bars:\n" + "\n".join(lines))


def fewest(market: list[Event], ours: Fold, theirs: Fold) -> list[Event]:
    """Leave out one event after another for as long as bars differ.

    Hypothesis would fold each try in a job of its own; here all tries are symbols of one job.
    """
    while len(market) > 1:
        tries = placed([market[:n] + market[n + 1 :] for n in range(len(market))])
        found, wanted = (fold(everything(tries)) for fold in (ours, theirs))
        guilty = {symbol_of(bar) for bar in {*found} ^ {*wanted}}
        if not guilty:
            break
        market = tries[min(guilty)]
    return market


def everything(drawn: Markets) -> list[Event]:
    return [event for market in drawn.values() for event in market]


def symbol_of(bar: str) -> str:
    return bar.partition("|")[0]


def expected(
    happened: Sequence[Event], resolutions: Sequence[Resolution], profile: Profile
) -> list[str]:
    settled = canonical(happened, VENUES).trades
    found = [
        bar
        for resolution in resolutions
        for bar in bars(settled, profile, resolution, {"XNYS": [SESSION]})
    ]
    return sorted(text_of(bar) for bar in found)


def streamed_bars(
    spark: "SparkSession",
    parts: Sequence[Sequence[Event]],
    killed_after: int,
    profile: Profile,
    folder: Path,
) -> list[str]:
    """Stream the parts, one a micro-batch; the query is killed in mid-batch and repeats it."""
    served: dict[tuple[object, ...], str] = {}
    arrivals, checkpoint = folder / "arrivals", folder / "checkpoint"
    last = checkpoint / "commits" / str(killed_after - 1)
    for number, part in enumerate(parts[:killed_after]):
        stage(spark, part, arrivals / f"{number:03d}")
    if killed_after:
        served |= run_stream(spark, arrivals, checkpoint, profile)
        uncommit(checkpoint, killed_after - 1)
    for number, part in enumerate(parts[killed_after:], killed_after):
        stage(spark, part, arrivals / f"{number:03d}")
    served |= run_stream(spark, arrivals, checkpoint, profile)
    assert last.exists() or not killed_after
    return sorted(served.values())


def uncommit(checkpoint: Path, batch: int) -> None:
    """Bring a checkpoint to where a kill between a batch's last write and its commit leaves it."""
    for log in ("offsets", "commits"):
        for entry in (checkpoint / log).glob("[0-9]*"):
            if int(entry.name) > batch or (log, int(entry.name)) == ("commits", batch):
                entry.unlink()


def stage(spark: "SparkSession", part: Sequence[Event], folder: Path) -> None:
    rows = [(*event_row(event), None, DAY) for event in part]
    frame = spark.createDataFrame(rows, f"{EVENT_ROW}, event_time timestamp, session date")
    timed = frame.selectExpr(
        "* except (event_time)", "timestamp_micros(event_ns div 1000) as event_time"
    )
    timed.coalesce(1).write.parquet(str(folder))


def run_stream(
    spark: "SparkSession", folder: Path, checkpoint: Path, profile: Profile
) -> dict[tuple[object, ...], str]:
    """Run the plan over all files, one a batch."""
    schema = spark.read.parquet(str(next(folder.iterdir()))).schema
    source = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
    arrivals = source.parquet(f"{folder}/*")
    return streamed(provisional_bars(arrivals, profile, DAY_S, ["truetape"]), checkpoint)
