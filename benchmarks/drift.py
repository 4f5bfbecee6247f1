"""The drift ledger: is it right, and what does it cost? Both layers run on a simulated session.

Spark streams the session's records in micro-batches and serves provisional bars; archive, recompute
and publication follow. The ledger is compared with the simulator's truth, trade by trade, and its
time with that of the recompute.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import tests_path  # noqa: F401 - makes `support` importable
from measure import report, stopped_by_signals, table

from support.confusion import (
    Confusion,
    Shown,
    bars_of,
    causes_of,
    confusion,
    in_changed_bars,
)
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.drift.recorder import DriftRecorder, SpeedRules
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.profiles import load
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS, STREAMED, Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event, Trade
from truetape.publish.diff import Edit
from truetape.publish.publication import PublicationRequest, publish
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, ServedBar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2026, 11, 20)
VENUE = "XNYS"
Both = tuple[Shown, Shown]
"""The served bars before and after the publication."""
_SCHEMA = pa.schema(
    [
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("record_ms", pa.int64()), ("key", pa.string()), ("value", pa.binary()),
        ("feed", pa.string()), ("received_ns", pa.int64()),
    ]
)  # fmt: skip


def main() -> int:
    """Measure and print the tables; exit with 65 if the ledger is wrong or costs too much."""
    arguments = _arguments()
    try:
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="truetape-drift-") as work:
            print(measure(Path(work), _plan(arguments), arguments.batches, arguments.most_cost))
    except TruetapeError as error:
        print(f"drift: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _plan(arguments: argparse.Namespace) -> SimulationPlan:
    """Plan minutes of trading after the open; a micro-batch must be shorter than the lateness."""
    return SimulationPlan(
        DAY,
        seed=arguments.seed,
        symbols=tuple(f"S{number:03}" for number in range(arguments.symbols)),
        trades=arguments.trades,
        offset_s=0,
        duration_s=60 * arguments.minutes,
        faults=Faults(malformed=0.001),
    )


def measure(work: Path, plan: SimulationPlan, batches: int, most_cost: float) -> str:
    """Return the tables. Raise VerificationError if a report is wrong or the cost is too high."""
    from truetape.batch.spark.session import spark_session
    from truetape.host.jars import spark_jars

    settings = replace(
        Settings.from_env({"TRUETAPE_HOME": str(work / "home")}),
        store="embedded",
        bucket_set="history",
    )
    report(f"simulating {plan.trades:,} trades of {len(plan.symbols)} symbols")
    made = simulate(plan)
    session = calendars.session(venues()[VENUE], DAY)
    size = -(-len(made.records) // batches)
    write_records(work, made, size)
    spark = spark_session("drift", settings, spark_jars(settings.cache))
    try:
        with closing(open_store(settings)) as store:
            store.ensure_buckets()
            report(f"streaming {len(made.records):,} records in {batches} micro-batches")
            served = stream(spark, settings, work, store)
            report("recomputing and publishing")
            spent = _settle(spark, settings, work, store, session)
            final = _shown(store, session)
    finally:
        spark.stop()
    entries = DriftLedger(settings.lake).of_session(session)
    matrix, doubtful = _confused(made, settings, entries, size, (served, final))
    text = _tables(matrix, doubtful, spent, len(entries))
    if matrix.wrong or not matrix.right or spent.share > most_cost:
        raise VerificationError(
            f"{matrix.wrong} trades reported wrongly, {spent.share:.0%} of a recompute; "
            f"at most {most_cost:.0%}\n{text}"
        )
    return f"\n{text}"


@dataclass(slots=True)
class Spent:
    """Seconds of each step. `record` is the ledger's part, `metrics` that of its metrics."""

    recompute: float = 0.0
    publish: float = 0.0
    record: float = 0.0
    metrics: float = 0.0

    @property
    def ledger(self) -> float:
        """Return the seconds of the ledger, including its metrics."""
        return self.record + self.metrics

    @property
    def share(self) -> float:
        """Return the seconds of the ledger as a share of the recompute."""
        return self.ledger / self.recompute


def write_records(work: Path, made: SimulatedSession, size: int) -> None:
    """Write a file for each micro-batch; streams read files in the order of their times."""
    (work / "records").mkdir()
    for number, start in enumerate(range(0, len(made.records), size)):
        rows = [
            {
                "topic": "trades",
                "partition": 0,
                "offset": offset,
                "record_ms": record.received_ns // 1_000_000,
                "key": record.key,
                "value": record.payload,
                "feed": record.feed,
                "received_ns": record.received_ns,
            }
            for offset, record in enumerate(made.records[start : start + size], start)
        ]
        file = work / "records" / f"{number:06}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file)
        os.utime(file, (1_000_000 + number, 1_000_000 + number))


def stream(
    spark: "SparkSession", settings: Settings, work: Path, store: BarStore
) -> dict[Resolution, list[ServedBar]]:
    """Serve provisional bars with the speed layer's own plan; duplicates count, as for a feed that
    expects none.
    """
    from truetape.feeds.contract import load_contract
    from truetape.feeds.decoder import Limits
    from truetape.speed.stream import provisional_bars, trades_of
    from truetape.speed.writer import provisional

    by_code, last = venues(), {}

    def keep(frame: "DataFrame", _: int) -> None:
        for row in frame.collect():
            last[row.symbol, row.resolution, row.start_ns] = row

    records = (
        spark.readStream.schema(spark.read.parquet(str(work / "records")).schema)
        .option("maxFilesPerTrigger", 1)
        .parquet(str(work / "records"))
    )
    trades = trades_of(records, [load_contract("truetape")], Limits.of(settings), by_code)
    profile = load(settings.profile)
    spark.conf.set("spark.sql.shuffle.partitions", str(settings.speed_shuffle_partitions))
    query = (
        provisional_bars(trades, profile, settings.speed_lateness_s, [])
        .writeStream.outputMode("update")
        .option("checkpointLocation", str(work / "checkpoint"))
        .trigger(availableNow=True)
        .foreachBatch(keep)
        .start()
    )
    query.awaitTermination()
    served: dict[Resolution, list[ServedBar]] = {resolution: [] for resolution in STREAMED}
    for row in last.values():
        if None not in (row.open, row.high, row.low, row.close):
            resolution = Resolution(row.resolution)
            served[resolution].append(provisional(row, resolution, by_code))
    for resolution, rows in served.items():
        store.write(resolution, rows)
    return served


def _settle(
    spark: "SparkSession", settings: Settings, work: Path, store: BarStore, session: Session
) -> Spent:
    """Archive, recompute and publish; return the seconds of each step."""
    from truetape.batch.raw_rows import all_contracts, raw_rows
    from truetape.batch.recompute import RecomputeRules
    from truetape.batch.spark.lake import Lake
    from truetape.batch.spark.recompute import recompute
    from truetape.feeds.decoder import Limits
    from truetape.kernel.columns import RECORDS
    from truetape.lake.delta import ensure_table, open_table
    from truetape.lake.tables import Table

    lake = Lake(settings.lake)
    ensure_table(settings.lake, Table.RAW)
    records = pq.read_table(work / "records")
    days = pa.nulls(records.num_rows, RECORDS.field("day").type)
    rows = raw_rows(
        records.append_column("day", days).cast(RECORDS), all_contracts(), Limits.of(settings)
    )
    open_table(settings.lake, Table.RAW).append([rows], "benchmark", "benchmark")
    lateness = settings.speed_lateness_s * SECOND_NS
    spent = Spent()
    rules = RecomputeRules(load(settings.profile), venues(), lateness)
    spent.recompute = _timed(lambda: recompute(spark, lake, session, rules))
    speed = SpeedRules(settings.profile, lateness, frozenset())
    recorder = DriftRecorder(settings.lake, store, venues()[VENUE], session, speed)

    def record(rev: int, edits: Mapping[Resolution, list[Edit]]) -> None:
        spent.record += _timed(lambda: recorder.record_round(rev, edits))

    request = PublicationRequest(
        session, "benchmark", "measured", time.time_ns(), 0.0, before_write=record
    )
    spent.publish = _timed(lambda: publish(settings.lake, store, request))
    spent.metrics = _timed(lambda: recorder.finish(1))
    return spent


def _confused(
    made: SimulatedSession, settings: Settings, entries: Sequence[BarDrift], size: int, shown: Both
) -> tuple[Confusion, int]:
    """Compare ledger and truth; also return how many deliveries are uncertain.

    Spark drops a trade whose minute has been passed by the watermark of the batch before, or of the
    batch before that. If the two disagree, the truth is unknown and the bar is left out.
    """
    events = made.truth.events
    strict, lenient = (_counted(events, size, settings, lag) for lag in (1, 2))
    uncertain = set(lenient) ^ set(strict)
    excluded = {
        bar for trade in uncertain for bar in bars_of(trade.symbol, trade.event_ns, STREAMED)
    }
    causes = causes_of(made.truth, strict, load(settings.profile))
    happened = in_changed_bars(causes, events, *shown)
    certain_causes = {key: cause for key, cause in happened.items() if key[0] not in excluded}
    certain = [
        entry
        for entry in entries
        if (entry.symbol, entry.resolution, entry.start_ns) not in excluded
    ]
    return confusion(certain_causes, certain), len(uncertain)


def _counted(events: Sequence[Event], size: int, settings: Settings, lag: int) -> list[Trade]:
    """Return the deliveries that a stream counts if its watermark is `lag` batches old."""
    counted: list[Trade] = []
    newest: list[int] = []
    for batch in _batches(events, size):
        passed = newest[-lag] - settings.speed_lateness_s * SECOND_NS if len(newest) >= lag else 0
        minute = Resolution.MINUTE
        counted += [
            trade for trade in batch if minute.start_of(trade.event_ns) + minute.width_ns > passed
        ]
        newest.append(max([*newest[-1:], *(trade.event_ns for trade in batch)], default=0))
    return counted


def _batches(events: Sequence[Event], size: int) -> Iterator[list[Trade]]:
    trades = [event for event in events if isinstance(event, Trade)]
    last = max(trade.position.offset for trade in trades)
    for number in range(last // size + 1):
        yield [trade for trade in trades if trade.position.offset // size == number]


def _shown(store: BarStore, session: Session) -> dict[Resolution, list[ServedBar]]:
    return {
        resolution: list(store.read(resolution, session.start_ns, session.end_ns))
        for resolution in STREAMED
    }


def _tables(matrix: Confusion, doubtful: int, spent: Spent, bars: int) -> str:
    beside = spent.publish / spent.recompute
    rows = [
        ("step", "seconds", "of the recompute"),
        ("recompute", f"{spent.recompute:.1f}", "1"),
        ("publication, ledger included", f"{spent.publish:.1f}", f"{beside:.2f}"),
        (f"ledger, {bars:,} bars", f"{spent.ledger:.2f}", f"{spent.share:.2f}"),
    ]
    note = f"{doubtful} uncertain deliveries, their bars left out"
    return "\n".join([*matrix.lines(), note, "", table(rows)])


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drift.py",
        description="Compare the drift ledger with the simulator's truth, trade by trade, and its "
        "time with that of the recompute.",
    )
    parser.add_argument("--trades", type=int, default=200_000, help="true prints in the session")
    parser.add_argument("--symbols", type=int, default=20, help="symbols in the session")
    parser.add_argument("--minutes", type=float, default=60, help="minutes of trading")
    parser.add_argument("--batches", type=int, default=60, help="micro-batches of the stream")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same session")
    parser.add_argument(
        "--most-cost", type=float, default=0.2, help="most that the ledger may add to a recompute"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
