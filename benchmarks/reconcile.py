"""Reconcile: what a publication costs without differences, with a few, and for a revert.

The benchmark writes the recomputed bars to the lake itself, without Spark; the bar store is a real
InfluxDB, on a separate stack.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from freshness import private_stack
from measure import report, stopped_by_signals, table

from truetape.host import calendars
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.publication import PublicationRequest, publish, publish_target
from truetape.publish.revert import reconstruct
from truetape.publish.verification import verify
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, Traffic

DAY = date(2026, 3, 4)
_PRICE, _SIZE = pa.decimal128(18, 9), pa.decimal128(28, 8)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one step."""

    step: str
    seconds: float
    edits: int
    traffic: Traffic


def main() -> int:
    """Measure and print the table; exit with 0 only if all served bars are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=120, help="minutes that have bars")
    given = parser.parse_args()
    try:
        with stopped_by_signals(), private_stack() as stack:
            settings = replace(stack, bucket_set="history", seal_delay_s=0.0)
            with closing(open_store(settings)) as store:
                store.ensure_buckets()
                print(measure(settings, store, given.symbols, given.minutes))
    except TruetapeError as error:
        print(f"reconcile: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(settings: Settings, store: BarStore, symbols: int, minutes: int) -> str:
    """Return the table of all steps."""
    lake, session = settings.lake, calendars.session(venues()["XNYS"], DAY)
    few = max(1, symbols // 100)

    def publishing(changed: int) -> Callable[[], int]:
        put(lake, session, symbols, minutes, changed)
        return lambda: publish(lake, store, request_of(session)).edits

    def reverting() -> int:
        target = reconstruct(lake, store, session, 1)
        return publish_target(lake, store, target, request_of(session, 1)).edits

    costs = [
        step(store, "first", publishing(0)),
        step(store, "nothing differs", publishing(0)),
        step(store, f"{few} symbols differ", publishing(few)),
        step(store, f"{symbols // 2} symbols differ", publishing(symbols // 2)),
        step(store, "revert to the first", reverting),
    ]
    put(lake, session, symbols, minutes, 0)
    compared, wrong = verify(lake, store, session)
    if wrong:
        raise VerificationError(f"{len(wrong):,} of {compared:,} bars differ")
    return f"\n{symbols} symbols, {compared:,} bars, 2 cores\n\n{table(list(_rows(costs)))}"


def step(store: BarStore, name: str, work: Callable[[], int]) -> Cost:
    """Run one step and return its cost."""
    report(name)
    before, began = store.traffic, time.monotonic()
    edits = work()
    seconds = time.monotonic() - began
    spent = {
        each.name: getattr(store.traffic, each.name) - getattr(before, each.name)
        for each in fields(Traffic)
    }
    return Cost(name, seconds, edits, Traffic(**spent))


def request_of(session: Session, restores: int = 0) -> PublicationRequest:
    """Return the request of a publication."""
    return PublicationRequest(session, "benchmark", "to measure", 1, 0.0, restores=restores)


def put(lake: str, session: Session, symbols: int, minutes: int, changed: int) -> None:
    """Write recomputed bars of both narrow resolutions; the first symbols have other closes."""
    parts = [
        _bars(session, f"S{number:04}", resolution, count, step_of=number + 7, add=number < changed)
        for number in range(symbols)
        for resolution, count in ((Resolution.SECOND, minutes * 60), (Resolution.MINUTE, minutes))
    ]
    write_deltalake(
        f"{lake}/bars",
        pa.concat_tables(parts),
        mode="overwrite",
        partition_by=["venue", "session"],
    )


def _bars(
    session: Session, symbol: str, resolution: Resolution, count: int, *, step_of: int, add: bool
) -> pa.Table:
    """Yield bars from the open on, with prices that move, a cent higher with `add`."""
    numbers = np.arange(count)
    price = pa.array((100_000 + numbers * step_of % 9_000 + add * 10) / 1_000)
    columns = {
        "venue": pa.array([session.venue] * count),
        "session": pa.array([session.date] * count, pa.date32()),
        "symbol": pa.array([symbol] * count),
        "resolution": pa.array([resolution.value] * count),
        "start_ns": pa.array(numbers * resolution.width_ns + (session.open_ns or 0)),
        "seq": pa.array(numbers, pa.int32()),
        **dict.fromkeys(("open", "high", "low", "close", "vwap"), price.cast(_PRICE, safe=False)),
        "volume": pa.array(np.full(count, 500.0)).cast(_SIZE, safe=False),
        "trades": pa.array(np.full(count, 5)),
        "served": pa.array(np.full(count, fill_value=True)),
        "profile": pa.array(["sip"] * count),
        "profile_version": pa.array(np.full(count, 1), pa.int32()),
    }
    return pa.table(columns)


def _rows(costs: list[Cost]) -> Iterator[tuple[str, ...]]:
    yield ("step", "seconds", "edits", "requests", "MB sent", "MB received", "rows read")
    for cost in costs:
        used = cost.traffic
        yield (
            cost.step,
            f"{cost.seconds:.1f} s",
            f"{cost.edits:,}",
            f"{used.requests:,}",
            f"{used.bytes_sent / 1e6:.2f}",
            f"{used.bytes_received / 1e6:.2f}",
            f"{used.rows_read:,}",
        )


if __name__ == "__main__":
    sys.exit(main())
