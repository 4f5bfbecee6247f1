"""Duplicates: what it costs the speed layer to drop them within its lateness.

The same deliveries go through the speed layer's own plan twice, once for a feed whose contract
expects duplicates and once for one whose contract does not, alternately, in one process.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import payloads
from measure import report, stopped_by_signals
from results import Cell, Figure, Table, add_json, cores, show, whole

from truetape.batch.spark.session import spark_session
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host import profiles, venues
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.jars import spark_jars
from truetape.host.settings import Settings
from truetape.speed import stream

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame, SparkSession

FEED = "truetape"
_WITHIN_S = 1_800
_MB = 1_000_000
_WARM_UP = 40_000
"""Deliveries that go through both plans first, without measurement."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a plan: the seconds of its batches after the first, and its state at the end."""

    deliveries: int
    seconds: float
    state_bytes: int
    counted: int


def main() -> int:
    """Measure, print the table; exit 0 only if each plan counted the right trades."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--times", type=int, default=3, help="runs of each plan")
    parser.add_argument("--seed", type=int, default=1)
    add_json(parser)
    given = parser.parse_args()
    try:
        with (
            stopped_by_signals(),
            tempfile.TemporaryDirectory(prefix="truetape-duplicates-") as work,
        ):
            done = measure(Path(work), given.trades, given.symbols, given.times, given.seed)
            show([done], given)
    except TruetapeError as error:
        print(f"duplicates: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(work: Path, trades: int, symbols: int, times: int, seed: int) -> Table:
    """Run both plans alternately, check their counts, return the table."""
    settings = Settings.from_env({"TRUETAPE_HOME": str(work / "home")})
    report(f"writing {trades:,} trades of {symbols} symbols")
    payloads.write(work / "warm-up", _WARM_UP, symbols, seed)
    deliveries = payloads.write(work / "measured", trades, symbols, seed)
    spark = spark_session("truetape duplicates", settings, spark_jars(settings.cache))
    spark.conf.set("spark.sql.shuffle.partitions", str(settings.speed_shuffle_partitions))
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    plans: dict[str, Sequence[str]] = {"repeats counted": [], "repeats dropped": [FEED]}
    for dropped in plans.values():
        run(spark, settings, work / "warm-up", dropped)
    found: dict[str, list[Measured]] = {name: [] for name in plans}
    for time in range(times):
        for name, dropped in plans.items():
            report(f"{name}: run {time + 1} of {times}")
            found[name].append(run(spark, settings, work / "measured", dropped))
    spark.stop()
    check(found, {"repeats counted": deliveries, "repeats dropped": trades})
    head = (
        f"{deliveries:,} deliveries of {trades:,} trades, {symbols} symbols, "
        f"{settings.speed_lateness_s} s of lateness; median of {times} runs, {cores()}"
    )
    return Table(_HEAD, _rows(found), head)


def run(
    spark: "SparkSession", settings: Settings, folder: Path, dropped: Sequence[str]
) -> Measured:
    """Stream the files of a folder, one a batch, as the speed layer does, without the store."""
    source = spark.read.parquet(str(folder / "payloads"))
    records = (
        spark.readStream.schema(source.schema)
        .option("maxFilesPerTrigger", "1")
        .parquet(str(folder / "payloads"))
        .coalesce(spark.sparkContext.defaultParallelism)
    )
    trades = stream.trades_of(records, [load_contract(FEED)], Limits.of(settings), venues.venues())
    bars = stream.provisional_bars(trades, profiles.load("all"), settings.speed_lateness_s, dropped)
    counted: dict[tuple[str, int], int] = {}

    def take(batch: "DataFrame", _: int) -> None:
        minutes = batch.where("resolution = '1m'").select("symbol", "start_ns", "trades")
        for symbol, start, number in _columns(minutes.toArrow()):
            counted[symbol, start] = number

    with tempfile.TemporaryDirectory(dir=folder) as checkpoint:
        query = (
            bars.writeStream.outputMode("update")
            .trigger(availableNow=True)
            .option("checkpointLocation", checkpoint)
            .foreachBatch(take)
            .start()
        )
        query.awaitTermination(_WITHIN_S)
        query.stop()
        batches = [one for one in query.recentProgress if one["numInputRows"]]
    return Measured(
        deliveries=sum(one["numInputRows"] for one in batches[1:]),
        seconds=sum(one["durationMs"]["triggerExecution"] for one in batches[1:]) / 1_000,
        state_bytes=sum(one["memoryUsedBytes"] for one in batches[-1]["stateOperators"]),
        counted=sum(counted.values()),
    )


def check(found: dict[str, list[Measured]], expected: dict[str, int]) -> None:
    """Raise VerificationError if a plan counted a wrong number of trades."""
    for name, runs in found.items():
        for one in runs:
            if one.counted != expected[name]:
                raise VerificationError(
                    f"{name}: the bars hold {one.counted:,} trades, not {expected[name]:,}"
                )


_HEAD = ("plan", "deliveries/s", "time", "state MB", "trades counted")


def _rows(found: dict[str, list[Measured]]) -> list[tuple[Cell, ...]]:
    rates = {
        name: statistics.median(one.deliveries / one.seconds for one in runs)
        for name, runs in found.items()
    }
    state = {
        name: statistics.median(one.state_bytes for one in runs) for name, runs in found.items()
    }
    base = next(iter(found))
    return [
        (
            name,
            whole(rates[name]),
            Figure(rates[base] / rates[name], "{:.2f} x"),
            whole(state[name] / _MB),
            whole(runs[0].counted),
        )
        for name, runs in found.items()
    ]


def _columns(frame: "pyarrow.Table") -> "zip[tuple[str, int, int]]":
    return zip(*(column.to_pylist() for column in frame.columns), strict=True)


if __name__ == "__main__":
    sys.exit(main())
