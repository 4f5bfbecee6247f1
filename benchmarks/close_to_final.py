"""From the last record of a session in Kafka to its boundary: seconds of each step, and memory.

A real Kafka holds the session's payloads, a real InfluxDB its provisional bars. One process then
archives, recomputes, checks, publishes and verifies the session, as `truetape replay` does.
Measures neither the speed layer nor Airflow, which runs each step in a process of its own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import payloads
from freshness import private_stack
from measure import in_child, peak_bytes, report, stopped_by_signals
from results import Figure, Table, add_json, cores, seconds, share, show, whole
from stopwatch import Stopwatch

from truetape.broker import topics
from truetape.broker.producer import send_all
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.records import Record
from truetape.host import profiles
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED, Resolution
from truetape.serving.backends import open_store

if TYPE_CHECKING:
    import pyarrow as pa

FEED = "truetape"
STEPS = (
    "start of Python", "archive", "recompute", "gate", "fence", "drift notes", "diff",
    "publish: write", "publish: read back", "publish: pause", "indicators", "boundary", "verify",
    "other",
)  # fmt: skip
_WITHIN_S = 3_600
_DOWN_NS = 3_600_000_000_000
"""How long after the open the driver was down for a minute."""
_PARTS = 8
"""The provisional bars are folded in so many parts at most, each with some of the symbols."""
_PROGRESS_EVERY = 500_000
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome in the child. `boundary_s`: from its start until the boundary had moved."""

    steps: dict[str, float]
    boundary_s: float
    peak_bytes: int
    trades: int
    rows: int
    indicators: int
    compared: int
    drifted: int
    unexplained: int


def main() -> int:
    """Prepare the session, make it final in a child process, print the tables."""
    wanted = _arguments()
    if wanted.since is not None:
        print(json.dumps(asdict(finish(wanted.since))))
        return 0
    try:
        with stopped_by_signals():
            show(measure(wanted.trades, wanted.symbols, wanted.seed), wanted)
    except TruetapeError as error:
        print(f"close_to_final: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(trades: int, symbols: int, seed: int) -> list[Table]:
    """Return the tables. Raise VerificationError if the final bars or the drift are wrong."""
    with private_stack() as stack, tempfile.TemporaryDirectory(prefix="truetape-close-") as work:
        settings = replace(stack, bucket_set="history")
        report(f"writing {trades:,} trades of {symbols} symbols")
        deliveries = payloads.write(Path(work), trades, symbols, seed)
        provisional = serve_provisional(settings, Path(work))
        report(f"sending {deliveries:,} records to Kafka")
        topics.ensure_topics(settings.kafka, settings, report)
        send_all(settings.kafka, settings.topic, _records(Path(work)), progress=_sent)
        report("the last record is in Kafka; making the session final")
        command = [sys.executable, __file__, "--since", str(time.time())]
        env = {**os.environ, **settings.to_env()}
        finished = Finished(**in_child(command, "the session", _WITHIN_S, env))
    _require_right(finished, trades)
    title = (
        f"{deliveries:,} deliveries of {trades:,} trades, {symbols} symbols, {provisional:,} "
        f"provisional bars, {cores()}"
    )
    return [_steps(finished, title), _totals(finished, deliveries)]


def serve_provisional(settings: Settings, folder: Path) -> int:
    """Serve the 1s and 1m bars without the trades of one minute; return how many.

    So the speed layer serves a session in which its driver was down for a minute.
    """
    from truetape.kernel import fold
    from truetape.kernel.judge import judge
    from truetape.speed.provisional_bars import provisional

    count = 0
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
        for number, settled in enumerate(_settled(settings, folder), start=1):
            judged = judge(settled, profiles.load(settings.profile))
            for resolution in STREAMED:
                bars = fold.bars(judged, resolution, {})
                served = provisional(bars.filter(fold.is_served(bars)), resolution, venues())
                store.write_table(resolution, served).require_stored("provisional bars")
                count += len(served)
            report(f"part {number}: {count:,} provisional bars are served")
    return count


def _settled(settings: Settings, folder: Path) -> "Iterator[pa.Table]":
    """Yield the trades of all minutes but one, some symbols at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from truetape.kernel.settle import settle

    tables = [
        table
        for file in sorted((folder / "payloads").glob("*.parquet"))
        for table in _deliveries(settings, file)
    ]
    deliveries = pa.concat_tables(tables)
    symbols = sorted(pc.unique(deliveries["symbol"]).to_pylist())
    begin_ns = Resolution.MINUTE.start_of((payloads.session().open_ns or 0) + _DOWN_NS)
    for part in range(min(_PARTS, len(symbols))):
        own = deliveries.filter(pc.is_in(deliveries["symbol"], pa.array(symbols[part::_PARTS])))
        settled = settle(own.combine_chunks(), venues())
        down = pc.and_(
            pc.greater_equal(settled["event_ns"], begin_ns),
            pc.less(settled["event_ns"], begin_ns + Resolution.MINUTE.width_ns),
        )
        yield settled.filter(pc.invert(down))


def _deliveries(settings: Settings, file: Path) -> "Iterator[pa.Table]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    from truetape.kernel.columns import RECORDS
    from truetape.kernel.decode import decode

    contract, limits = load_contract(FEED), Limits.of(settings)
    for batch in pq.ParquetFile(file).iter_batches(100_000):
        records = pa.Table.from_batches([batch])
        days = pa.nulls(records.num_rows, RECORDS.field("day").type)
        records = records.append_column("day", days).select(RECORDS.names).cast(RECORDS)
        yield decode(records, contract, limits).deliveries


def _records(folder: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    for file in sorted((folder / "payloads").glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(
            20_000, columns=["value", "key", "received_ns"]
        ):
            for value, key, received_ns in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                yield Record(value, FEED, key, received_ns)


def _sent(count: int) -> None:
    if count % _PROGRESS_EVERY == 0:
        report(f"{count:,} records sent")


def finish(since: float) -> Finished:
    """Make the session final in this process, which was started at `since`."""
    watch = Stopwatch("other")
    watch.seconds["start of Python"] = time.time() - since
    boundary = _Boundary(since)
    _time_steps(watch, boundary)
    from truetape.drift.attribution import Cause
    from truetape.drift.ledger import DriftLedger
    from truetape.pipeline.sessions import finalize_sessions

    settings, session = Settings.from_env(), payloads.session()
    _, (outcome,) = finalize_sessions(settings, [session], "at the close", report)
    steps = watch.read()
    drift = DriftLedger(settings.lake).of_session(session)
    if outcome.mismatches:
        raise VerificationError(f"a served bar is wrong: {outcome.mismatches[0]}")
    return Finished(
        steps=steps,
        boundary_s=boundary.seconds,
        peak_bytes=peak_bytes(os.getpid()),
        trades=outcome.recomputed.trades - outcome.recomputed.duplicates,
        rows=outcome.published.edits,
        indicators=outcome.published.indicators,
        compared=outcome.compared,
        drifted=len(drift),
        unexplained=sum(Cause.UNEXPLAINED in entry.causes for entry in drift),
    )


@dataclass(slots=True)
class _Boundary:
    """When the boundary moved, in seconds after the start of the process."""

    since: float
    seconds: float = 0.0

    def moved(self) -> None:
        self.seconds = time.time() - self.since


def _time_steps(watch: Stopwatch, boundary: _Boundary) -> None:
    """Time the entry points of the rooms, as the pipeline calls them."""
    from truetape.pipeline import publish, sessions
    from truetape.pipeline.venue_publication import VenuePublication
    from truetape.serving.influx import InfluxStore

    watch.time(sessions, "archive_once", "archive")
    watch.time(sessions, "recompute_once", "recompute")
    watch.time(publish, "require_open", "gate")
    watch.time(VenuePublication, "raise_fence", "fence")
    for hook in ("record_round", "finish"):
        watch.time(publish.DriftRecorder, hook, "drift notes")
    pause = watch.timed(time.sleep, "publish: pause")
    publish.publish = watch.timed(partial(publish.publish, sleep=pause), "diff")  # type: ignore[assignment]
    watch.time(InfluxStore, "write_table", "publish: write", within="diff")
    for read in ("digests", "final_counts"):
        watch.time(InfluxStore, read, "publish: read back", within="diff")
    watch.time(publish, "publish_indicators", "indicators")
    watch.time(sessions, "verify", "verify")
    finish_publication = VenuePublication.finish

    def finish_and_note(*arguments: Any, **named: Any) -> None:
        finish_publication(*arguments, **named)
        boundary.moved()

    VenuePublication.finish = watch.timed(finish_and_note, "boundary")  # type: ignore[method-assign]


def _require_right(finished: Finished, trades: int) -> None:
    """Raise VerificationError if the session is not exactly what was sent."""
    if finished.trades != trades:
        raise VerificationError(f"the lake has {finished.trades:,} trades of {trades:,}")
    if not finished.drifted or finished.unexplained:
        raise VerificationError(
            f"{finished.unexplained:,} of {finished.drifted:,} drifted bars are unexplained"
        )


def _steps(finished: Finished, title: str) -> Table:
    whole_s = sum(finished.steps.values())
    rows: list[tuple[str | Figure, ...]] = [
        (step, seconds(finished.steps[step]), share(finished.steps[step] / whole_s))
        for step in STEPS
        if step in finished.steps
    ]
    rows.append(
        ("to the boundary", seconds(finished.boundary_s), share(finished.boundary_s / whole_s))
    )
    rows.append(("all", seconds(whole_s), share(1.0)))
    return Table(("step", "seconds", "share"), rows, title)


def _totals(finished: Finished, deliveries: int) -> Table:
    head = (
        "deliveries/s to the boundary", "peak MB", "rows published", "indicator rows",
        "drifted bars", "bars verified",
    )  # fmt: skip
    row = (
        whole(deliveries / finished.boundary_s),
        whole(finished.peak_bytes / _MB),
        whole(finished.rows),
        whole(finished.indicators),
        whole(finished.drifted),
        whole(finished.compared),
    )
    return Table(head, [row])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="close_to_final.py",
        description="Measure how long a session takes from its last record in Kafka to its "
        "boundary, by step. Starts servers of its own.",
    )
    parser.add_argument("--trades", type=int, default=2_000_000, help="trades in the session")
    parser.add_argument("--symbols", type=int, default=500, help="symbols in the session")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same trades")
    add_json(parser)
    parser.add_argument("--since", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
