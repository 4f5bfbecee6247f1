"""The drift ledger: is it right, and what does it cost? Both layers run on a simulated session.

Provisional bars are served by the speed layer's rule, in plain Python; archive, recompute and
publication follow. The ledger is compared with the simulator's truth, trade by trade, and its time
with that of the recompute.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import tests_path  # noqa: F401 - makes `support` importable
from measure import report, stopped_by_signals
from results import Figure, Table, add_json, cores, show, whole

from support import truths
from support.confusion import Confusion, causes_of, confusion, in_changed_bars
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.batch.local.parts import computed
from truetape.batch.raw_rows import all_contracts, raw_rows
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_recompute import recompute
from truetape.drift.attribution import Cause
from truetape.drift.ledger import DriftLedger
from truetape.drift.recorder import DriftRecorder, SpeedRules
from truetape.feeds.decoder import Limits
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.profiles import load
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.kernel.columns import RECORDS
from truetape.lake import tables as lake_tables
from truetape.lake.delta import ensure_table, open_table
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Edit
from truetape.publish.publication import PublicationRequest, publish
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

DAY = date(2026, 11, 20)
VENUE = "XNYS"
TABLE_RECORDS = 100_000
"""Records that are decoded and appended at once."""


def main() -> int:
    """Measure and print the tables; exit with 65 if the ledger is wrong or costs too much."""
    arguments = _arguments()
    try:
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="truetape-drift-") as work:
            show(measure(Path(work), _plan(arguments), arguments.most_cost), arguments)
    except TruetapeError as error:
        print(f"drift: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _plan(arguments: argparse.Namespace) -> SimulationPlan:
    """Plan minutes of trading after the open."""
    return SimulationPlan(
        DAY,
        seed=arguments.seed,
        symbols=tuple(f"S{number:03}" for number in range(arguments.symbols)),
        trades=arguments.trades,
        offset_s=0,
        duration_s=60 * arguments.minutes,
        faults=Faults(malformed=0.001),
    )


def measure(work: Path, plan: SimulationPlan, most_cost: float) -> list[Table]:
    """Return the tables. Raise VerificationError if a report is wrong or the cost is too high."""
    settings = replace(
        Settings.from_env({"TRUETAPE_HOME": str(work / "home")}),
        store="embedded",
        bucket_set="history",
    )
    report(f"simulating {plan.trades:,} trades of {len(plan.symbols)} symbols")
    made = simulate(plan)
    session = calendars.session(venues()[VENUE], DAY)
    archive(settings, made)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
        report(f"serving {len(made.records):,} records by the rule of the speed layer")
        counted = counted_trades(made.truth.events, repeats=True)
        served = provisional_bars(counted, settings.profile)
        serve(store, served)
        report("recomputing and publishing")
        spent = _settle(settings, store, session)
        final = truths.shown(store, session.start_ns, session.end_ns)
    entries = DriftLedger(settings.lake).of_session(session)
    causes = causes_of(made.truth, counted, load(settings.profile))
    matrix = confusion(in_changed_bars(causes, made.truth.events, served, final), entries)
    tables = _tables(matrix, spent, len(entries))
    if matrix.wrong or not matrix.right or spent.share > most_cost:
        raise VerificationError(
            f"{matrix.wrong} trades reported wrongly, {spent.share:.0%} of a recompute; "
            f"at most {most_cost:.0%}\n" + "\n\n".join(map(str, tables))
        )
    return tables


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


def archive(settings: Settings, made: SimulatedSession) -> None:
    """Write the records of a session to `raw`, decoded by the kernel."""
    ensure_table(settings.lake, lake_tables.Table.RAW)
    contracts, limits = all_contracts(), Limits.of(settings)
    for start in range(0, len(made.records), TABLE_RECORDS):
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
            for offset, record in enumerate(made.records[start : start + TABLE_RECORDS], start)
        ]
        decoded = raw_rows(pa.Table.from_pylist(rows, RECORDS), contracts, limits)
        open_table(settings.lake, lake_tables.Table.RAW).append(
            [decoded], "benchmark", f"benchmark-{start}"
        )


def _settle(settings: Settings, store: BarStore, session: Session) -> Spent:
    """Recompute and publish; return the seconds of each step."""
    lateness = settings.speed_lateness_s * SECOND_NS
    spent = Spent()
    rules = RecomputeRules(load(settings.profile), venues(), lateness)
    spent.recompute = _timed(lambda: recompute(settings.lake, session, rules, computed))
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


def _tables(matrix: Confusion, spent: Spent, bars: int) -> list[Table]:
    used = {cause for pair in matrix.counts for cause in pair}
    causes = [*(cause for cause in Cause if cause in used), None]
    counts = [
        (str(true or "nothing"), *(whole(matrix.counts.get((true, each), 0)) for each in causes))
        for true in causes
    ]
    steps = {
        "recompute": spent.recompute,
        "publication, ledger included": spent.publish,
        f"ledger, {bars:,} bars": spent.ledger,
    }
    costs = [
        (name, Figure(cost, "{:.2f} s"), Figure(cost / spent.recompute, "{:.2f} x"))
        for name, cost in steps.items()
    ]
    head = ("true / reported", *(str(each or "nothing") for each in causes))
    note = f"{matrix.right:,} right, {matrix.wrong:,} wrong"
    return [
        Table(head, counts, note=note),
        Table(("step", "time", "of the recompute"), costs, note=cores()),
    ]


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
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same session")
    parser.add_argument(
        "--most-cost", type=float, default=2.0, help="most that the ledger may add to a recompute"
    )
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
