"""Freshness: trade time to acknowledged by InfluxDB, of every trade after a warm-up.

Runs truetape's own speed layer and the naive pipeline one after the other, on the same Kafka and
InfluxDB, with the same load. Changes nothing outside a temporary home.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from load import SYMBOLS, Load
from measure import quantile, report, stopped_by_signals
from numpy.typing import NDArray
from pipelines import Naive, Pipeline, Truetape
from results import Cell, Figure, Table, add_json, cores, show, whole
from watch import BatchEnds

from truetape.broker import topics
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.serving.backends import open_store
from truetape.stack import lifecycle
from truetape.stack.server import free_port

SHARES = (0.50, 0.95, 0.99)
BEHIND_SHARE = 0.1
"""A pipeline whose backlog grows by more than this share of the rate is falling behind."""
_POLL_S = 1.0
_GENERATOR_GRACE_S = 60


@dataclass(frozen=True, slots=True)
class Trades:
    """The measured trades of one run; `acked_ns` is infinite for unacknowledged ones."""

    event_ns: NDArray[np.int64]
    acked_ns: NDArray[np.float64]

    def waits_s(self, until_ns: int) -> NDArray[np.float64]:
        """Return the waiting time of each trade; unacknowledged ones wait until `until_ns`."""
        waited: NDArray[np.float64] = np.minimum(self.acked_ns, until_ns) - self.event_ns
        return waited / SECOND_NS

    def backlog(self, at_ns: float) -> int:
        """Return the number of trades sent and not acknowledged at an instant."""
        return int(np.sum((self.event_ns <= at_ns) & (self.acked_ns > at_ns)))


@dataclass(frozen=True, slots=True)
class Result:
    """One pipeline at one rate. `served` is the sum of trades over the served bars, if counted."""

    name: str
    rate: int
    sent: int
    sent_rate: float
    quantiles: tuple[Figure, ...]
    backlog: int
    backlog_growth: float
    processed_rate: float
    batches: int
    unacknowledged: int
    served: int | None

    @property
    def keeps_up(self) -> bool:
        """True if the backlog did not grow."""
        return self.backlog_growth <= BEHIND_SHARE * self.rate

    @property
    def verdict(self) -> str:
        """Return the notes that a reader needs before the figures."""
        if not self.keeps_up:
            return f"falls behind by {self.backlog_growth:,.0f} trades a second"
        if self.served is not None and self.served != self.sent:
            return f"WRONG: bars hold {self.served:,} of {self.sent:,} trades"
        return "keeps up" if self.served is None else "keeps up, every trade is in its bar"


def main() -> int:
    """Run all rates and print the tables."""
    wanted = _arguments()
    try:
        with stopped_by_signals(), private_stack() as settings:
            results = [result for rate in wanted.rates for result in _both(settings, rate, wanted)]
    except TruetapeError as error:
        print(f"freshness: {error}", file=sys.stderr)
        return error.exit_code
    title = (
        f"Trade time to acknowledged by InfluxDB, {SYMBOLS} symbols, {wanted.seconds} s each, "
        f"{cores()}"
    )
    show([Table(_HEAD, list(map(_row, results)), title), ratios(results)], wanted)
    return 0 if all(result.served in (None, result.sent) for result in results) else 1


def _both(settings: Settings, rate: int, wanted: argparse.Namespace) -> Iterator[Result]:
    for kind in (Truetape, Naive):
        topic = f"{kind.name}-{rate}"
        own = replace(settings, topic=topic, home=settings.home / topic)
        topics.ensure_topics(own.kafka, own, report)
        yield run(kind(own), rate, wanted)


def run(pipeline: Pipeline, rate: int, wanted: argparse.Namespace) -> Result:
    """Send trades through one pipeline and measure each. The arguments bound the time."""
    settings = pipeline.settings
    label = f"{pipeline.name} at {rate:,}/s"
    report(f"{label}: starting")
    load = Load(settings.topic, rate, wanted.warm_up + wanted.seconds, settings.home / "load")
    with pipeline.running(), BatchEnds(pipeline.checkpoint, settings.topic) as ends:
        with load.running(settings) as generator:
            report(
                f"{label}: sending for {load.seconds} s, the first {wanted.warm_up} s unmeasured"
            )
            generator.wait(load.seconds + _GENERATOR_GRACE_S)
        sent = load.sent()
        report(f"{label}: {sum(map(len, sent.values())):,} trades sent; it may catch up now")
        until_ns = _wait_for_last(pipeline, ends, sent, wanted.drain)
        by_batch, acks = ends.read(), pipeline.acks()
    trades = joined(sent, by_batch, acks)
    drained = bool(np.all(np.isfinite(trades.acked_ns)))
    served = _served_trades(settings, sent) if pipeline.counts_bars and drained else None
    return _result(pipeline, load, trades, (until_ns, wanted.warm_up, len(acks), served))


def _wait_for_last(
    pipeline: Pipeline, ends: BatchEnds, sent: dict[int, NDArray[np.int64]], within_s: float
) -> int:
    """Wait until every trade is acknowledged, at most `within_s`; return the instant."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        pipeline.check()
        if np.all(np.isfinite(joined(sent, ends.read(), pipeline.acks()).acked_ns)):
            break
        time.sleep(_POLL_S)
    return time.time_ns()


def joined(
    sent: dict[int, NDArray[np.int64]], ends: dict[int, dict[int, int]], acks: dict[int, int]
) -> Trades:
    """Give each trade the acknowledgement of the first batch that covers its offset."""
    batches = sorted(ends)
    instants = np.array([float(acks.get(batch, np.inf)) for batch in batches] + [np.inf])
    events, acked = [], []
    for part, times in sent.items():
        limits = np.array([ends[batch].get(part, 0) for batch in batches], dtype=np.int64)
        first = np.searchsorted(limits, np.arange(len(times)), side="right")
        events.append(times)
        acked.append(instants[first])
    return Trades(np.concatenate(events), np.concatenate(acked))


def _result(
    pipeline: Pipeline, load: Load, every: Trades, known: tuple[int, int, int, int | None]
) -> Result:
    until_ns, warm_up_s, batches, served = known
    began, ended = int(every.event_ns.min()), int(every.event_ns.max())
    from_ns = began + warm_up_s * SECOND_NS
    seconds = (ended - from_ns) / SECOND_NS
    kept = every.event_ns >= from_ns
    trades = Trades(every.event_ns[kept], every.acked_ns[kept])
    waits, finished = trades.waits_s(until_ns), np.isfinite(trades.acked_ns)
    in_time = (every.acked_ns > from_ns) & (every.acked_ns <= ended)
    return Result(
        name=pipeline.name,
        rate=load.rate,
        sent=len(every.event_ns),
        sent_rate=len(trades.event_ns) / seconds,
        quantiles=tuple(quantile(waits, finished, share) for share in SHARES),
        backlog=every.backlog(ended),
        backlog_growth=(every.backlog(ended) - every.backlog(from_ns)) / seconds,
        processed_rate=float(np.sum(in_time)) / seconds,
        batches=batches,
        unacknowledged=int(np.sum(~np.isfinite(every.acked_ns))),
        served=served,
    )


def _served_trades(settings: Settings, sent: dict[int, NDArray[np.int64]]) -> int:
    """Add up the trades of the served 1 s bars of this run's time."""
    first = min(int(times[0]) for times in sent.values() if len(times))
    last = max(int(times[-1]) for times in sent.values() if len(times))
    store = open_store(settings)
    try:
        bars = store.read(Resolution.SECOND, Resolution.SECOND.start_of(first), last + 1)
        return sum(bar.trades for bar in bars)
    finally:
        store.close()


_HEAD = ("pipeline", "sent/s", "p50", "p95", "p99", "done/s", "behind at end", "never", "verdict")


def _row(result: Result) -> tuple[Cell, ...]:
    return (
        result.name,
        whole(result.sent_rate),
        *result.quantiles,
        whole(result.processed_rate),
        whole(result.backlog),
        whole(result.unacknowledged),
        result.verdict,
    )


def ratios(results: list[Result]) -> Table:
    """Return the naive pipeline's times as multiples of truetape's."""
    rows: list[tuple[Cell, ...]] = []
    for ours, naive in zip(results[::2], results[1::2], strict=True):
        times = [
            Figure(theirs.value / own.value, "{:.1f} x", at_least=theirs.at_least)
            for own, theirs in zip(ours.quantiles, naive.quantiles, strict=True)
        ]
        rows.append((whole(ours.rate), *times))
    return Table(("sent/s", "p50", "p95", "p99"), rows, "The naive pipeline beside truetape")


@contextmanager
def private_stack() -> Iterator[Settings]:
    """Run a separate Kafka and InfluxDB, in a temporary home and on free ports."""
    with tempfile.TemporaryDirectory(prefix="truetape-freshness-") as home:
        env = {"TRUETAPE_HOME": home, "TRUETAPE_CACHE": str(Settings.from_env().cache)}
        env["TRUETAPE_KAFKA"] = f"127.0.0.1:{free_port()}"
        env["TRUETAPE_INFLUX_PORT"] = str(free_port())
        env["TRUETAPE_AIRFLOW"] = "False"
        settings = Settings.from_env(env | {"TRUETAPE_SPARK_DRIVER_MEMORY": "2g"})
        try:
            lifecycle.up(settings, report=report, build_influx=True)
            store = open_store(settings)
            store.ensure_buckets()
            store.close()
            yield settings
        finally:
            lifecycle.down(settings, report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="freshness.py",
        description="Measure trade time to acknowledged by InfluxDB, for truetape's speed layer "
        "and for a naive pipeline. Needs a JDK (17 or newer) and starts servers of its own.",
    )
    parser.add_argument(
        "--rates", type=int, nargs="+", default=[2_000, 20_000], help="trades a second"
    )
    parser.add_argument("--seconds", type=int, default=45, help="measured seconds of each run")
    parser.add_argument("--warm-up", type=int, default=30, help="seconds before, not measured")
    parser.add_argument(
        "--drain", type=float, default=30.0, help="seconds that a pipeline may catch up afterwards"
    )
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
