"""Recompute: trades a second and peak memory, compared with DuckDB on the same files.

Each step runs in its own process. All steps must compute the same 1 s bars, to the last decimal.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duck
import payloads
from measure import in_child, peak_bytes, report, stopped_by_signals
from results import Cell, Table, add_json, cores, ratio, seconds, show, whole

from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.batch.recompute import RecomputeRules

_STEP_WITHIN_S = 1_800
_TABLE_RECORDS = 100_000
"""Records in one table, as the reader of Kafka makes them."""
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One step: `seconds` of work, after `start_s` seconds of starting Python and Spark."""

    seconds: float
    start_s: float
    peak_bytes: int


def main() -> int:
    """Run all steps and print the tables, or one step in a child process."""
    wanted = _arguments()
    if wanted.step:
        print(json.dumps(asdict(_measured(wanted.step, wanted.work))))
        return 0
    sizes = [wanted.trades, *(million * 1_000_000 for million in wanted.grow)]
    done: list[Sized] = []
    try:
        with stopped_by_signals():
            for trades in sizes:
                with tempfile.TemporaryDirectory(prefix="truetape-recompute-") as work:
                    done.append(
                        measure(Path(work), trades, wanted.symbols, wanted.seed, wanted.engine)
                    )
    except TruetapeError as error:
        print(f"recompute: {error}", file=sys.stderr)
        return error.exit_code
    show([steps(done[0]), *([growth(done)] if wanted.grow else [])], wanted)
    return 0


@dataclass(frozen=True, slots=True)
class Sized:
    """The steps of one session, by name; `bars` of 1 s were equal in all of them."""

    trades: int
    symbols: int
    deliveries: int
    steps: dict[str, Measured]
    bars: int
    volume: str

    @property
    def head(self) -> str:
        """Return what the session consists of."""
        return (
            f"{self.deliveries:,} deliveries of {self.trades:,} trades, {self.symbols} symbols, "
            f"{cores()}"
        )

    @property
    def equal(self) -> str:
        """Return what was compared."""
        return (
            f"all made the same {self.bars:,} bars of 1 s: {self.trades:,} trades, "
            f"{self.volume} shares"
        )

    def whole(self, engine: str) -> Measured:
        """Return both steps of an engine together."""
        decode, recompute = self.steps[f"{engine}-decode"], self.steps[f"{engine}-recompute"]
        return Measured(
            decode.seconds + recompute.seconds,
            decode.start_s + recompute.start_s,
            max(decode.peak_bytes, recompute.peak_bytes),
        )

    @property
    def engines(self) -> list[str]:
        """Return the measured engines."""
        return [engine for engine in ENGINES if f"{engine}-decode" in self.steps]


def measure(work: Path, trades: int, symbols: int, seed: int, engines: list[str]) -> Sized:
    """Make the files, run the steps, and check that the bars are equal."""
    report(f"writing {trades:,} trades of {symbols} symbols as payloads and as typed columns")
    deliveries = payloads.write(work, trades, symbols, seed)
    names = [f"{engine}-{step}" for engine in engines for step in ("decode", "recompute")]
    done = {name: run_step(name, work) for name in (*names, "duckdb-payloads", "duckdb-typed")}
    report("comparing the bars")
    bars, counted, volume = check(work, engines)
    if counted != trades:
        raise VerificationError(f"the bars hold {counted:,} trades, {trades:,} were written")
    return Sized(trades, symbols, deliveries, done, bars, volume)


def steps(done: Sized) -> Table:
    """Return the table: each step of truetape with the DuckDB query on the same files."""
    from_json, from_columns = done.steps["duckdb-payloads"], done.steps["duckdb-typed"]
    lines: list[tuple[str, Measured, Measured]] = []
    for engine in done.engines:
        decode, recompute = done.steps[f"{engine}-decode"], done.steps[f"{engine}-recompute"]
        lines += [
            (f"{engine}: payloads to lake.raw", decode, from_json),
            (f"{engine}: lake.raw to trades and bars", recompute, from_columns),
            (f"{engine}: payloads to bars, both steps", done.whole(engine), from_json),
        ]
    lines += [
        ("DuckDB: payloads to 1s bars", from_json, from_json),
        ("DuckDB: typed columns to 1s bars", from_columns, from_columns),
    ]
    head = ("step", "start", "work", "deliveries/s", "peak MB", "time / DuckDB", "memory / DuckDB")
    rows = [(name, *_cells(step, beside, done.deliveries)) for name, step, beside in lines]
    return Table(head, rows, done.head, done.equal)


def growth(done: list[Sized]) -> Table:
    """Return the table: both steps of each engine as the session grows."""
    head = ("both steps", "trades", "work", "deliveries/s", "peak MB", "time / DuckDB")
    lines = []
    for engine in done[0].engines:
        for sized in sorted(done, key=lambda sized: sized.trades):
            yardstick = sized.steps["duckdb-payloads"]
            cells = _cells(sized.whole(engine), yardstick, sized.deliveries)
            lines.append((engine, whole(sized.trades), *cells[1:5]))
    return Table(head, lines, "Sessions of other sizes")


def _cells(step: Measured, beside: Measured, deliveries: int) -> tuple[Cell, ...]:
    return (
        seconds(step.start_s),
        seconds(step.seconds),
        whole(deliveries / step.seconds),
        whole(step.peak_bytes / _MB),
        ratio(step.seconds / beside.seconds),
        ratio(step.peak_bytes / beside.peak_bytes),
    )


def check(work: Path, engines: list[str]) -> tuple[int, int, str]:
    """Return bars, trades and volume. Raise VerificationError if two steps made different bars."""
    ours, *others = [work / f"bars-{engine}" for engine in engines]
    files = [str(work / f"{name}.parquet") for name in ("duckdb-payloads", "duckdb-typed")]
    first = f"{ours}/*.parquet"
    for other in (*files, *(f"{folder}/*.parquet" for folder in others)):
        different = duck.differences(first, other)
        if different or duck.totals(first) != duck.totals(other):
            raise VerificationError(
                f"{different} bars of {ours.name} and of {other} differ: "
                f"{duck.totals(first)} and {duck.totals(other)}"
            )
    return duck.totals(first)


def run_step(step: str, work: Path) -> Measured:
    """Run one step in its own process and return its time and memory."""
    report(f"{step}: running")
    command = [sys.executable, str(Path(__file__)), "--step", step, "--work", str(work)]
    measured = Measured(**in_child(command, f"step {step}", _STEP_WITHIN_S))
    report(f"{step}: {measured.seconds:.1f} s of work, {measured.peak_bytes / _MB:,.0f} MB at most")
    return measured


def _measured(step: str, work: Path) -> Measured:
    began = time.monotonic()
    work_of_step = STEPS[step](work)
    ready = time.monotonic()
    finish = work_of_step()
    ended = time.monotonic()
    peak = peak_bytes(os.getpid())
    finish()
    return Measured(ended - ready, ready - began, peak)


Finish = Callable[[], object]
Step = Callable[[], Finish]


def _local_decode(work: Path) -> Step:
    """Prepare the local archive's work on its records, from Parquet instead of Kafka."""
    import pyarrow as pa
    import pyarrow.dataset

    from truetape.batch.local.ingest import decoded
    from truetape.feeds.decoder import Limits
    from truetape.kernel.columns import RECORDS
    from truetape.lake.delta import ensure_table, open_table
    from truetape.lake.tables import Table

    settings = _settings(work)
    ensure_table(settings.lake, Table.RAW)
    columns = [name for name in RECORDS.names if name != "day"]

    def records() -> Iterator[pa.Table]:
        batches = pa.dataset.dataset(work / "payloads").to_batches(
            columns=columns, batch_size=_TABLE_RECORDS, batch_readahead=1, fragment_readahead=1
        )
        for batch in batches:
            table = pa.Table.from_batches([batch])
            days = pa.nulls(batch.num_rows, RECORDS.field("day").type)
            yield table.append_column("day", days).cast(RECORDS)

    def run() -> Finish:
        rows = decoded(records(), Limits.of(settings))
        open_table(settings.lake, Table.RAW).append(rows, "benchmark", "benchmark")
        return lambda: None

    return run


def _local_recompute(work: Path) -> Step:
    """Prepare the local recompute; its 1 s bars are written afterwards, not measured."""
    from truetape.batch.local.parts import computed
    from truetape.batch.session_recompute import recompute

    settings = _settings(work)

    def run() -> Finish:
        recompute(settings.lake, payloads.session(), _rules(settings), computed)
        return lambda: _save_bars(settings, work / "bars-local")

    return run


def _spark_decode(work: Path) -> Step:
    """Prepare the work of the archive on Spark, from Parquet instead of Kafka."""
    from truetape.batch.raw_rows import all_contracts
    from truetape.batch.spark.on_executors import FILES, archiving
    from truetape.batch.spark.session import spark_session
    from truetape.feeds.decoder import Limits
    from truetape.host.jars import spark_jars
    from truetape.lake.data_files import DataFile
    from truetape.lake.delta import ensure_table, open_table
    from truetape.lake.tables import Table

    settings = _on_spark(work)
    spark = spark_session("decode", settings, spark_jars(settings.cache))
    ensure_table(settings.lake, Table.RAW)
    contracts = spark.sparkContext.broadcast(all_contracts())

    def run() -> Finish:
        records = spark.read.parquet(str(work / "payloads"))
        write = archiving(contracts, Limits.of(settings), settings.lake)
        files = [DataFile(*row) for row in records.mapInArrow(write, FILES).collect()]
        open_table(settings.lake, Table.RAW).append_files(files, "benchmark", "benchmark")
        return spark.stop

    return run


def _spark_recompute(work: Path) -> Step:
    """Prepare the recompute on Spark; its 1 s bars are written afterwards, not measured."""
    from truetape.batch.session_recompute import recompute
    from truetape.batch.spark.parts import computed
    from truetape.batch.spark.session import spark_session
    from truetape.host.jars import spark_jars

    settings = _on_spark(work)
    spark = spark_session("recompute", settings, spark_jars(settings.cache))

    def save() -> None:
        spark.stop()
        _save_bars(settings, work / "bars-spark")

    def run() -> Finish:
        engine = partial(computed, spark=spark)
        recompute(settings.lake, payloads.session(), _rules(settings), engine)
        return save

    return run


def _save_bars(settings: Settings, folder: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from truetape.lake.delta import open_table
    from truetape.lake.tables import Table

    table = open_table(settings.lake, Table.BARS)
    folder.mkdir()
    bars = table.select([*table.column_types()], pc.field("resolution") == "1s")
    pq.write_table(bars, folder / "bars.parquet")


def _duckdb(kind: str, name: str) -> Callable[[Path], Step]:
    def prepare(work: Path) -> Step:
        def run() -> Finish:
            duck.bars(work, kind, work / f"{name}.parquet")
            return lambda: None

        return run

    return prepare


ENGINES = ("local", "spark")
STEPS: dict[str, Callable[[Path], Step]] = {
    "local-decode": _local_decode,
    "local-recompute": _local_recompute,
    "spark-decode": _spark_decode,
    "spark-recompute": _spark_recompute,
    "duckdb-payloads": _duckdb("payloads", "duckdb-payloads"),
    "duckdb-typed": _duckdb("typed", "duckdb-typed"),
}


def _settings(work: Path, name: str = "local") -> Settings:
    env = {"TRUETAPE_HOME": str(work / name), "TRUETAPE_SPARK_DRIVER_MEMORY": "2g"}
    return Settings.from_env(env | {"TRUETAPE_CACHE": str(Settings.from_env().cache)})


def _on_spark(work: Path) -> Settings:
    return _settings(work, "spark")


def _rules(settings: Settings) -> "RecomputeRules":
    from truetape.batch.recompute import RecomputeRules
    from truetape.host import profiles
    from truetape.host.venues import venues
    from truetape.market.resolution import SECOND_NS

    lateness_ns = settings.speed_lateness_s * SECOND_NS
    return RecomputeRules(profiles.load(settings.profile), venues(), lateness_ns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="recompute.py",
        description="Measure the decoding of archived payloads and the recompute of a session "
        "beside DuckDB on the same files, and check that the bars are equal.",
    )
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades in the session")
    parser.add_argument("--symbols", type=int, default=200, help="symbols in the session")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same trades")
    parser.add_argument(
        "--engine", nargs="+", choices=ENGINES, default=["local"], help="engines to measure"
    )
    parser.add_argument(
        "--grow", nargs="+", type=int, default=[], metavar="MILLIONS",
        help="measure sessions of so many million trades as well",
    )  # fmt: skip
    add_json(parser)
    parser.add_argument("--step", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
