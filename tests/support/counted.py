"""Counted records in tests: trades of IBM as a topic has them, counted by the product."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from support.build import READ_MS
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host.profiles import load
from truetape.kernel.columns import RECORDS
from truetape.market.resolution import SECOND_NS
from truetape.speed.counting import Counting, CountingRules

RULES = CountingRules(
    {"truetape": load_contract("truetape")}, load("sip"), Limits(), lateness_ns=3_600 * SECOND_NS
)
NO_PRICE = ("I",)
"""The condition of an odd lot: it counts for the volume, and sets no price."""


def counted(
    *starts_ns: int, offset: int = 0, partition: int = 0, conditions: Iterable[str] = ()
) -> pa.Table:
    """Return `speed.counting.COUNTED` of one trade at each time; their offsets begin at `offset`.

    Each trade has a price of 100 and a size of 5, and was received at once.
    """
    rows = [
        record(trade_line(start_ns, id=str(number), conditions=list(conditions)), number, partition)
        for number, start_ns in enumerate(starts_ns, start=offset)
    ]
    return Counting(RULES).counted(pa.Table.from_pylist(rows, RECORDS))


def trade_line(event_ns: int, **fields: object) -> dict[str, object]:
    """Return a trade of IBM in the native feed."""
    return {
        "kind": "trade", "symbol": "IBM", "venue": "XNYS", "event_time": event_ns,
        "received_time": event_ns, "price": "100", "size": "5", **fields,
    }  # fmt: skip


def record(line: Mapping[str, object], offset: int, partition: int = 0) -> dict[str, Any]:
    """Return a record with the columns of `RECORDS`, stamped after every trade."""
    return {
        "topic": "trades", "partition": partition, "offset": offset, "record_ms": READ_MS,
        "key": None, "value": json.dumps(line).encode(), "feed": "truetape", "received_ns": None,
        "day": None,
    }  # fmt: skip
