"""Reconcile: what a publication costs: the first, without differences, with some, and a revert.

The benchmark writes the recomputed bars to the lake itself, without Spark; the bar store is a real
InfluxDB, on a separate stack.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from freshness import private_stack
from measure import report, stopped_by_signals
from results import Cell, Figure, Table, add_json, cores, seconds, show, whole

from truetape.host import calendars
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.schemas import BARS
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.publication import PublicationRequest, publish, publish_target
from truetape.publish.revert import reconstruct
from truetape.publish.verification import verify
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, Traffic

DAY, NEXT_DAY = date(2026, 3, 4), date(2026, 3, 5)
_NUMBER = BARS.field("close").type


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one step."""

    step: str
    seconds: float
    edits: int
    traffic: Traffic


def main() -> int:
    """Measure and print the tables; exit with 0 only if all served bars are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=120, help="minutes that have bars")
    parser.add_argument("--many", type=int, default=5_000, help="symbols with nine bars each")
    add_json(parser)
    given = parser.parse_args()
    try:
        with stopped_by_signals(), private_stack() as stack:
            settings = replace(stack, bucket_set="history")
            with closing(open_store(settings)) as store:
                store.ensure_buckets()
                tables = [measure(settings, store, given.symbols, given.minutes)]
                if given.many:
                    tables.append(measure_many(settings, store, given.many))
        show(tables, given)
    except TruetapeError as error:
        print(f"reconcile: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(settings: Settings, store: BarStore, symbols: int, minutes: int) -> Table:
    """Return the table of all steps, without the pauses around the seal."""
    lake, session = settings.lake, calendars.session(venues()["XNYS"], DAY)
    few, half = max(1, symbols // 100), symbols // 2

    def publishing(changed: int) -> Callable[[], int]:
        put(lake, session, symbols, (minutes * 60, minutes), changed)
        return lambda: publish(lake, store, request_of(session)).edits

    def reverting() -> int:
        target = reconstruct(lake, store, session, 1)
        return publish_target(lake, store, target, request_of(session, 1)).edits

    costs = [
        step(store, "first", publishing(0)),
        step(store, "nothing differs", publishing(0)),
        step(store, f"{few} of {symbols} symbols differ", publishing(few)),
        step(store, f"{half} of {symbols} symbols differ", publishing(half)),
        step(store, "revert to the first", reverting),
    ]
    put(lake, session, symbols, (minutes * 60, minutes), 0)
    title = f"{symbols:,} symbols, {served_right(lake, store, session):,} bars, {cores()}"
    return Table(_HEAD, list(map(_row, costs)), f"{title}, without the pauses around the seal")


def measure_many(settings: Settings, store: BarStore, symbols: int) -> Table:
    """Return the table of many symbols with few bars, with the pauses as they are configured."""
    lake, session = settings.lake, calendars.session(venues()["XNYS"], NEXT_DAY)

    def publishing(changed: int) -> Callable[[], int]:
        put(lake, session, symbols, (6, 3), changed)
        request = replace(request_of(session), seal_delay_s=settings.seal_delay_s)
        return lambda: publish(lake, store, request).edits

    costs = [
        step(store, "first", publishing(0)),
        step(store, "nothing differs", publishing(0)),
        step(store, "all differ", publishing(symbols)),
    ]
    title = f"{symbols:,} symbols, {served_right(lake, store, session):,} bars, {cores()}"
    return Table(
        _HEAD, list(map(_row, costs)), f"{title}, pauses of {settings.seal_delay_s:g} s included"
    )


def served_right(lake: str, store: BarStore, session: Session) -> int:
    """Return the number of served bars. Raise VerificationError if one differs from the lake's."""
    compared, wrong = verify(lake, store, session)
    if wrong:
        raise VerificationError(f"{len(wrong):,} of {compared:,} bars differ")
    return compared


def step(store: BarStore, name: str, work: Callable[[], int]) -> Cost:
    """Run one step and return its cost."""
    report(name)
    before, began = store.traffic, time.monotonic()
    edits = work()
    took_s = time.monotonic() - began
    spent = {
        each.name: getattr(store.traffic, each.name) - getattr(before, each.name)
        for each in fields(Traffic)
    }
    return Cost(name, took_s, edits, Traffic(**spent))


def request_of(session: Session, restores: int = 0) -> PublicationRequest:
    """Return the request of a publication."""
    return PublicationRequest(session, "benchmark", "to measure", 1, 0.0, restores=restores)


def put(lake: str, session: Session, symbols: int, counts: tuple[int, int], changed: int) -> None:
    """Write recomputed 1s and 1m bars, so many a symbol; the first symbols have other closes."""
    widths = list(zip((Resolution.SECOND, Resolution.MINUTE), counts, strict=True))
    parts = [
        _bars(session, f"S{number:04}", resolution, count, step_of=number + 7, add=number < changed)
        for number in range(symbols)
        for resolution, count in widths
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
        **dict.fromkeys(("open", "high", "low", "close", "vwap"), price.cast(_NUMBER, safe=False)),
        "volume": pa.array(np.full(count, 500.0)).cast(_NUMBER, safe=False),
        "trades": pa.array(np.full(count, 5)),
        "served": pa.array(np.full(count, fill_value=True)),
        "profile": pa.array(["sip"] * count),
        "profile_version": pa.array(np.full(count, 1), pa.int32()),
    }
    return pa.table(columns)


_HEAD = ("step", "time", "bars/s", "edits", "requests", "MB sent", "MB received", "rows read")


def _row(cost: Cost) -> tuple[Cell, ...]:
    used = cost.traffic
    return (
        cost.step,
        seconds(cost.seconds),
        whole(cost.edits / cost.seconds),
        Figure(cost.edits),
        Figure(used.requests),
        Figure(used.bytes_sent / 1e6, "{:.2f}"),
        Figure(used.bytes_received / 1e6, "{:.2f}"),
        Figure(used.rows_read),
    )


if __name__ == "__main__":
    sys.exit(main())
