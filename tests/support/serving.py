"""Builders of served rows and bucket sets; every default is an ordinary value."""

import secrets
from dataclasses import replace

from support.build import NOON
from truetape.serving.buckets import Buckets, load_buckets
from truetape.serving.store import IndicatorRow, Point, ServedBar

MINUTE_NS = 60_000_000_000


def bar(**fields: object) -> ServedBar:
    """Build a final bar of IBM at noon New York."""
    values: dict[str, object] = {
        "symbol": "IBM",
        "venue": "XNYS",
        "start_ns": NOON,
        "open": 100.0,
        "high": 101.5,
        "low": 99.25,
        "close": 100.5,
        "volume": 1_200.0,
        "vwap": 100.12345678,
        "trades": 17,
        "rev": 1,
        "seq": 150,
        "layer": "batch",
        "final": True,
        "void": False,
    }
    return ServedBar(**(values | fields))  # type: ignore[arg-type]


def bars(count: int, **fields: object) -> list[ServedBar]:
    """Build `count` bars, each one minute and one `seq` after the previous."""
    return [
        bar(**{"start_ns": NOON + number * MINUTE_NS, "seq": number} | fields)
        for number in range(count)
    ]


def indicators(start_ns: int = NOON, symbol: str = "IBM", **values: float) -> IndicatorRow:
    """Build an indicator row of rev 1."""
    return IndicatorRow(symbol, "XNYS", start_ns, values, rev=1, void=False)


def speed_batch(time_ns: int = NOON, query: str = "bars", **fields: object) -> Point:
    """Build the metrics point of a micro-batch."""
    values: dict[str, object] = {
        "batch": 7,
        "records": 2_000,
        "late": 1,
        "bars": 40,
        "fenced": 0,
        "mended": 0,
        "lag": 3,
        "seconds": 0.36,
        "rows_per_s": 5_555.5,
    }
    return Point("speed_batch", {"query": query}, time_ns, values | fields)  # type: ignore[arg-type]


def own_buckets(set_name: str) -> Buckets:
    """Return the declared set with bucket names that no other test uses."""
    return prefixed(load_buckets(set_name), f"t{secrets.token_hex(4)}_")


def prefixed(declared: Buckets, prefix: str) -> Buckets:
    """Return the set with a prefix before each bucket name."""
    return replace(
        declared,
        bars={
            resolution: replace(bucket, name=prefix + bucket.name)
            for resolution, bucket in declared.bars.items()
        },
        pipeline=replace(declared.pipeline, name=prefix + declared.pipeline.name),
    )
