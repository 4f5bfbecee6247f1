"""Recompute: trades a second and peak memory, compared with DuckDB on the same files.

Each step runs in its own process. All steps must compute the same 1 s bars, to the last decimal.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duck
import payloads
from measure import peak_bytes, report, stopped_by_signals, table

from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings

_STEP_WITHIN_S = 900
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One step: `seconds` of work, after `start_s` seconds of starting Python and Spark."""

    seconds: float
    start_s: float
    peak_bytes: int


def main() -> int:
    """Run all steps and print the table, or one step in a child process."""
    wanted = _arguments()
    if wanted.step:
        print(json.dumps(asdict(_measured(wanted.step, wanted.work))))
        return 0
    try:
        with (
            stopped_by_signals(),
            tempfile.TemporaryDirectory(prefix="truetape-recompute-") as work,
        ):
            print(compare(Path(work), wanted.trades, wanted.symbols, wanted.seed))
    except TruetapeError as error:
        print(f"recompute: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def compare(work: Path, trades: int, symbols: int, seed: int) -> str:
    """Make the files, run the steps, check that the bars are equal, return the table."""
    report(f"writing {trades:,} trades of {symbols} symbols as payloads and as typed columns")
    deliveries = payloads.write(work, trades, symbols, seed)
    done = {name: in_child(name, work) for name in STEPS}
    report("comparing the bars of Spark and DuckDB")
    bars, counted, volume = check(work)
    if counted != trades:
        raise VerificationError(f"the bars hold {counted:,} trades, {trades:,} were written")
    head = f"{deliveries:,} deliveries of {trades:,} trades, {symbols} symbols, 2 cores"
    equal = f"Spark's and DuckDB's {bars:,} bars of 1 s are equal: {counted:,} trades, {volume}"
    return f"\n{head}\n\n{table(rows(done, deliveries))}\n\n{equal} shares"


def rows(done: dict[str, Measured], deliveries: int) -> list[tuple[str, ...]]:
    """Return the table: each step of truetape with the DuckDB query on the same files."""
    decode, recompute = done["decode"], done["recompute"]
    whole = Measured(
        decode.seconds + recompute.seconds,
        decode.start_s + recompute.start_s,
        max(decode.peak_bytes, recompute.peak_bytes),
    )
    from_json, from_columns = done["duckdb-payloads"], done["duckdb-typed"]
    lines = (
        ("truetape: payloads to lake.raw", decode, from_json),
        ("truetape: lake.raw to trades and bars", recompute, from_columns),
        ("truetape: payloads to bars, both steps", whole, from_json),
        ("DuckDB: payloads to 1s bars", from_json, from_json),
        ("DuckDB: typed columns to 1s bars", from_columns, from_columns),
    )
    head = ("step", "start", "work", "deliveries/s", "peak MB", "time / DuckDB", "memory / DuckDB")
    return [head, *[(name, *_cells(one, beside, deliveries)) for name, one, beside in lines]]


def _cells(one: Measured, beside: Measured, deliveries: int) -> tuple[str, ...]:
    return (
        f"{one.start_s:.1f} s",
        f"{one.seconds:.1f} s",
        f"{deliveries / one.seconds:,.0f}",
        f"{one.peak_bytes / _MB:,.0f}",
        f"{one.seconds / beside.seconds:.1f} x",
        f"{one.peak_bytes / beside.peak_bytes:.1f} x",
    )


def check(work: Path) -> tuple[int, int, str]:
    """Return bars, trades and volume. Raise VerificationError if two steps made different bars."""
    files = [str(work / f"{name}.parquet") for name in ("duckdb-payloads", "duckdb-typed")]
    ours = f"{work}/spark-bars/*.parquet"
    for other in files:
        different = duck.differences(ours, other)
        if different or duck.totals(ours) != duck.totals(other):
            raise VerificationError(
                f"{different} bars of Spark and of {Path(other).stem} differ: "
                f"{duck.totals(ours)} and {duck.totals(other)}"
            )
    return duck.totals(ours)


def in_child(step: str, work: Path) -> Measured:
    """Run one step in its own process and return its time and memory."""
    report(f"{step}: running")
    command = [sys.executable, str(Path(__file__)), "--step", step, "--work", str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            output, _ = child.communicate(timeout=_STEP_WITHIN_S)
        finally:
            _kill_group(child)
    if child.returncode:
        raise VerificationError(f"step {step} ended with code {child.returncode}; see above")
    found = Measured(**json.loads(output.splitlines()[-1]))
    report(f"{step}: {found.seconds:.1f} s of work, {found.peak_bytes / _MB:,.0f} MB at most")
    return found


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    """Kill Java too if the step is cut short; a finished step leaves nothing running."""
    if child.poll() is None:
        os.killpg(child.pid, 9)


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


def _decode(work: Path) -> Step:
    """Prepare the archive's work on a batch, from Parquet instead of Kafka."""
    from truetape.batch.archive import raw_rows
    from truetape.batch.spark.lake import Lake
    from truetape.batch.spark.session import spark_session
    from truetape.feeds.contract import load_contract
    from truetape.feeds.decoder import Limits
    from truetape.host.jars import spark_jars
    from truetape.lake.tables import Table

    settings = _settings(work)
    spark = spark_session("decode", settings, spark_jars(settings.cache))
    lake, contracts = Lake(settings.lake), [load_contract("truetape")]
    lake.ensure(spark, Table.RAW)

    def run() -> Finish:
        records = spark.read.parquet(str(work / "payloads"))
        decoded = raw_rows(records, contracts, Limits.of(settings))
        decoded.write.format("delta").mode("append").save(lake.path(Table.RAW))
        return spark.stop

    return run


def _recompute(work: Path) -> Step:
    """Prepare the recompute of the session; its 1 s bars are written afterwards, not measured."""
    from pyspark.sql import functions as F

    from truetape.batch.recompute import RecomputeRules
    from truetape.batch.spark.lake import Lake
    from truetape.batch.spark.recompute import recompute
    from truetape.batch.spark.session import spark_session
    from truetape.host import profiles
    from truetape.host.jars import spark_jars
    from truetape.host.venues import venues
    from truetape.lake.tables import Table
    from truetape.market.resolution import SECOND_NS

    settings = _settings(work)
    spark = spark_session("recompute", settings, spark_jars(settings.cache))
    lake, session = Lake(settings.lake), payloads.session()
    lateness_ns = settings.speed_lateness_s * SECOND_NS
    rules = RecomputeRules(profiles.load(settings.profile), venues(), lateness_ns)

    def save() -> None:
        bars = lake.read(spark, Table.BARS).where(F.col("resolution") == "1s")
        bars.write.parquet(str(work / "spark-bars"))
        spark.stop()

    def run() -> Finish:
        recompute(spark, lake, session, rules)
        return save

    return run


def _duckdb(kind: str, name: str) -> Callable[[Path], Step]:
    def prepare(work: Path) -> Step:
        def run() -> Finish:
            duck.bars(work, kind, work / f"{name}.parquet")
            return lambda: None

        return run

    return prepare


STEPS: dict[str, Callable[[Path], Step]] = {
    "decode": _decode,
    "recompute": _recompute,
    "duckdb-payloads": _duckdb("payloads", "duckdb-payloads"),
    "duckdb-typed": _duckdb("typed", "duckdb-typed"),
}


def _settings(work: Path) -> Settings:
    env = {"TRUETAPE_HOME": str(work / "home"), "TRUETAPE_SPARK_DRIVER_MEMORY": "2g"}
    return Settings.from_env(env | {"TRUETAPE_CACHE": str(Settings.from_env().cache)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="recompute.py",
        description="Measure the decoding of archived payloads and the recompute of a session "
        "beside DuckDB on the same files, and check that the bars are equal.",
    )
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades in the session")
    parser.add_argument("--symbols", type=int, default=200, help="symbols in the session")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same trades")
    parser.add_argument("--step", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
