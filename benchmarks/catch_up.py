"""Catch-up: records a second of a speed layer that starts with many records behind.

All records are in Kafka before the driver starts, so it reads as fast as it can; a reader sees the
first bars long before the last. Measures from the driver's first heartbeat, after Spark and the
lease are there, to the acknowledgement of the last trade. Changes nothing outside a temporary home.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from freshness import private_stack
from load import SYMBOLS, Load, Sent
from measure import report, stopped_by_signals
from pipelines import Direct, OnSpark, SpeedLayer
from results import Table, add_json, cores, seconds, show, whole

from truetape.broker import topics
from truetape.host.errors import TransientError, TruetapeError, VerificationError
from truetape.host.settings import Settings

ENGINES = {engine.name: engine for engine in (OnSpark, Direct)}
_RATE = 100_000
"""Records a second that the generator sends beforehand."""
_WITHIN_S = 900.0
_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """How one engine read `records`: it started in `start_s`, then needed `read_s`."""

    engine: str
    records: int
    start_s: float
    read_s: float


def main() -> int:
    """Let each engine catch up, and print the table."""
    wanted = _arguments()
    try:
        with stopped_by_signals(), private_stack() as settings:
            done = [caught_up(settings, engine, wanted.records) for engine in wanted.engines]
    except TruetapeError as error:
        print(f"catch_up: {error}", file=sys.stderr)
        return error.exit_code
    show([table(done)], wanted)
    return 0


def caught_up(settings: Settings, engine: str, records: int) -> CaughtUp:
    """Send records, start the engine, and wait until it has served all of them."""
    topic = f"catch-up-{engine}"
    own = replace(settings, topic=topic, home=settings.home / topic)
    own.home.mkdir(parents=True)
    topics.ensure_topics(own.kafka, own, report)
    pipeline = ENGINES[engine](own)
    load = Load(pipeline.target, _RATE, max(1, records // _RATE), own.home / "load")
    report(f"{engine}: sending about {records:,} records")
    with load.running(own.cache) as generator:
        generator.wait(_WITHIN_S)
    sent = load.sent()
    count = sum(map(len, sent.values()))
    report(f"{engine}: {count:,} records are in Kafka; starting the driver")
    began = time.time_ns()
    with pipeline.running():
        ready = time.time_ns()
        last = _last_ack(pipeline, sent)
        counted = pipeline.counted(sent)
    if counted != count:
        raise VerificationError(f"{engine}: the bars have {counted:,} of {count:,} trades")
    return CaughtUp(engine, count, (ready - began) / 1e9, (last - ready) / 1e9)


def table(done: Sequence[CaughtUp]) -> Table:
    """Return a line for each engine."""
    head = (
        "engine",
        "records behind",
        "until the first heartbeat",
        "until the last bar",
        "records/s",
    )
    rows = [
        (
            each.engine,
            whole(each.records),
            seconds(each.start_s),
            seconds(each.read_s),
            whole(each.records / each.read_s),
        )
        for each in done
    ]
    return Table(head, rows, f"Catching up, {SYMBOLS} symbols, {cores()}")


def _last_ack(pipeline: SpeedLayer, sent: Sent) -> float:
    """Return when the last trade was acknowledged, in nanoseconds."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        pipeline.check()
        last = max(float(np.max(acked)) for acked in pipeline.acknowledged(sent).values())
        if np.isfinite(last):
            return last
        time.sleep(_POLL_S)
    raise TransientError(f"{pipeline.name} did not catch up within {_WITHIN_S:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="catch_up.py",
        description="Measure how fast the speed layer reads what is behind. Needs a JDK (17 or "
        "newer) and starts servers of its own.",
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--records", type=int, default=2_000_000, help="records behind")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
