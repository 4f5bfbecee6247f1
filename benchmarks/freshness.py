"""Freshness: trade time to visible, of every trade after a warm-up; and what idling costs.

Runs each engine by itself, one after the other, with the same load: truetape's own speed layer and
the naive pipeline on the same Kafka and InfluxDB, QuestDB without either. Changes nothing outside a
temporary home.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from load import SYMBOLS, Load, Sent
from measure import cpu_seconds, quantile, report, stopped_by_signals
from numpy.typing import NDArray
from pipelines import Direct, Naive, OnSpark, Pipeline
from questdb import QuestDb
from results import Cell, Figure, Table, add_json, cores, show, whole

from truetape.broker import topics
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS
from truetape.serving.backends import open_store
from truetape.stack import lifecycle
from truetape.stack.server import free_port

ENGINES: dict[str, type[Pipeline]] = {kind.name: kind for kind in (OnSpark, Direct, QuestDb, Naive)}
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

    @classmethod
    def of(cls, pipeline: Pipeline, sent: Sent) -> "Trades":
        """Return all sent trades with the acknowledgements until now."""
        acked = pipeline.acknowledged(sent)
        return cls(np.concatenate([*sent.values()]), np.concatenate([acked[part] for part in sent]))

    @property
    def are_all_acknowledged(self) -> bool:
        """True if no trade is waiting."""
        return bool(np.all(np.isfinite(self.acked_ns)))

    def waits_s(self, until_ns: int) -> NDArray[np.float64]:
        """Return the waiting time of each trade; unacknowledged ones wait until `until_ns`."""
        waited: NDArray[np.float64] = np.minimum(self.acked_ns, until_ns) - self.event_ns
        return waited / SECOND_NS

    def backlog(self, at_ns: float) -> int:
        """Return the number of trades sent and not acknowledged at an instant."""
        return int(np.sum((self.event_ns <= at_ns) & (self.acked_ns > at_ns)))


@dataclass(frozen=True, slots=True)
class Result:
    """One engine at one rate. `counted` is the number of trades in its bars, if it is known."""

    engine: str
    rate: int
    sent: int
    sent_rate: float
    quantiles: tuple[Figure, ...]
    backlog: int
    backlog_growth: float
    processed_rate: float
    unacknowledged: int
    counted: int | None

    @property
    def is_right(self) -> bool:
        """True unless the bars hold another number of trades than were sent."""
        return self.counted in (None, self.sent)

    @property
    def verdict(self) -> str:
        """Return the notes that a reader needs before the figures."""
        if self.backlog_growth > BEHIND_SHARE * self.rate:
            return f"falls behind by {self.backlog_growth:,.0f} trades a second"
        if not self.is_right:
            return f"WRONG: bars hold {self.counted:,} of {self.sent:,} trades"
        return "keeps up" if self.counted is None else "keeps up, every trade is in its bar"


@dataclass(frozen=True, slots=True)
class Idle:
    """The cores that an engine takes while hardly any trades arrive."""

    engine: str
    cores: float


def main() -> int:
    """Run all engines at all rates and print the tables."""
    wanted = _arguments()
    results: list[Result] = []
    idle: list[Idle] = []
    try:
        with stopped_by_signals(), private_stack() as settings:
            for rate in wanted.rates:
                results += [
                    run(_engine(settings, engine, rate), rate, wanted) for engine in wanted.engines
                ]
            if wanted.idle_seconds:
                idle = [
                    idling(_engine(settings, engine, wanted.idle_rate), wanted)
                    for engine in wanted.engines
                ]
    except TruetapeError as error:
        print(f"freshness: {error}", file=sys.stderr)
        return error.exit_code
    show(tables(results, idle, wanted), wanted)
    return 0 if all(result.is_right for result in results) else 1


def tables(
    results: Sequence[Result], idle: Sequence[Idle], wanted: argparse.Namespace
) -> list[Table]:
    """Return the table of waits, the engines beside the first one, and the cost of idling."""
    about = f"{SYMBOLS} symbols, {wanted.seconds} s each, {cores()}"
    rows = [_row(result) for result in results]
    every = [Table(_HEAD, rows, f"Trade time to visible, {about}")] if rows else []
    if rows and len(wanted.engines) > 1:
        every.append(ratios(results))
    if idle:
        title = f"Cores taken at {wanted.idle_rate} trades/s, over {wanted.idle_seconds} s"
        cells = [(item.engine, Figure(item.cores, "{:.2f}")) for item in idle]
        every.append(Table(("engine", "cores"), cells, title))
    return every


def _engine(settings: Settings, name: str, rate: int) -> Pipeline:
    """Return an engine with a topic and a home of its own."""
    topic = f"{name}-{rate}"
    own = replace(settings, topic=topic, home=settings.home / topic)
    own.home.mkdir(parents=True)
    topics.ensure_topics(own.kafka, own, report)
    return ENGINES[name](own)


def run(pipeline: Pipeline, rate: int, wanted: argparse.Namespace) -> Result:
    """Send trades through one pipeline and measure each. The arguments bound the time."""
    settings, length = pipeline.settings, wanted.warm_up + wanted.seconds
    label = f"{pipeline.name} at {rate:,}/s"
    report(f"{label}: starting")
    with pipeline.running(), pipeline.watched():
        load = Load(pipeline.target, rate, length, settings.home / "load")
        with load.running(settings.cache) as generator:
            report(f"{label}: sending for {length} s, the first {wanted.warm_up} s unmeasured")
            generator.wait(length + _GENERATOR_GRACE_S)
        sent = load.sent()
        report(f"{label}: {sum(map(len, sent.values())):,} trades sent; it may catch up now")
        until_ns = _wait_for_last(pipeline, sent, wanted.drain)
        trades = Trades.of(pipeline, sent)
        counted = pipeline.counted(sent) if trades.are_all_acknowledged else None
    return _result(pipeline.name, load, trades, (until_ns, wanted.warm_up, counted))


def idling(pipeline: Pipeline, wanted: argparse.Namespace) -> Idle:
    """Measure the processor time of an engine and all its processes at a rate near zero."""
    length = wanted.warm_up + wanted.idle_seconds
    report(f"{pipeline.name}: idling at {wanted.idle_rate} trades/s for {length} s")
    with pipeline.running():
        load = Load(pipeline.target, wanted.idle_rate, length, pipeline.settings.home / "load")
        with load.running(pipeline.settings.cache):
            time.sleep(wanted.warm_up)
            began, before = time.monotonic(), cpu_seconds(pipeline.pid)
            time.sleep(wanted.idle_seconds)
            spent, passed = cpu_seconds(pipeline.pid) - before, time.monotonic() - began
            pipeline.check()
    return Idle(pipeline.name, spent / passed)


def _wait_for_last(pipeline: Pipeline, sent: Sent, within_s: float) -> int:
    """Wait until every trade is acknowledged, at most `within_s`; return the instant."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        pipeline.check()
        if Trades.of(pipeline, sent).are_all_acknowledged:
            break
        time.sleep(_POLL_S)
    return time.time_ns()


def _result(engine: str, load: Load, every: Trades, known: tuple[int, int, int | None]) -> Result:
    until_ns, warm_up_s, counted = known
    began, ended = int(every.event_ns.min()), int(every.event_ns.max())
    from_ns = began + warm_up_s * SECOND_NS
    seconds = (ended - from_ns) / SECOND_NS
    kept = every.event_ns >= from_ns
    trades = Trades(every.event_ns[kept], every.acked_ns[kept])
    waits, finished = trades.waits_s(until_ns), np.isfinite(trades.acked_ns)
    in_time = (every.acked_ns > from_ns) & (every.acked_ns <= ended)
    return Result(
        engine=engine,
        rate=load.rate,
        sent=len(every.event_ns),
        sent_rate=len(trades.event_ns) / seconds,
        quantiles=tuple(quantile(waits, finished, share) for share in SHARES),
        backlog=every.backlog(ended),
        backlog_growth=(every.backlog(ended) - every.backlog(from_ns)) / seconds,
        processed_rate=float(np.sum(in_time)) / seconds,
        unacknowledged=int(np.sum(~np.isfinite(every.acked_ns))),
        counted=counted,
    )


_HEAD = ("engine", "sent/s", "p50", "p95", "p99", "done/s", "behind at end", "never", "verdict")


def _row(result: Result) -> tuple[Cell, ...]:
    return (
        result.engine,
        whole(result.sent_rate),
        *result.quantiles,
        whole(result.processed_rate),
        whole(result.backlog),
        whole(result.unacknowledged),
        result.verdict,
    )


def ratios(results: Sequence[Result]) -> Table:
    """Return the waits of the other engines as multiples of the first engine's."""
    rows: list[tuple[Cell, ...]] = []
    for rate, group in groupby(results, key=lambda result: result.rate):
        first, *others = group
        for other in others:
            times = [
                Figure(theirs.value / own.value, "{:.1f} x", at_least=theirs.at_least)
                for own, theirs in zip(first.quantiles, other.quantiles, strict=True)
            ]
            rows.append((other.engine, whole(rate), *times))
    head = ("engine", "sent/s", "p50", "p95", "p99")
    return Table(head, rows, f"The other engines beside {results[0].engine}")


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
        description="Measure trade time to visible for a reader, for truetape's speed layer, "
        "QuestDB and a naive pipeline. Needs a JDK (17 or newer) and starts servers of its own.",
    )
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="what to measure"
    )
    parser.add_argument(
        "--rates", type=int, nargs="*", default=[2_000, 20_000, 50_000], help="trades a second"
    )
    parser.add_argument("--seconds", type=int, default=45, help="measured seconds of each run")
    parser.add_argument("--warm-up", type=int, default=30, help="seconds before, not measured")
    parser.add_argument(
        "--drain", type=float, default=30.0, help="seconds that a pipeline may catch up afterwards"
    )
    parser.add_argument("--idle-rate", type=int, default=20, help="trades a second while idle")
    parser.add_argument(
        "--idle-seconds", type=int, default=60, help="measured seconds of idling; 0 for none"
    )
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
