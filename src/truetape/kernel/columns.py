"""The Arrow columns that the kernel takes and returns. Holds no rows."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    Array = pa.Array[Any]
    Column = pa.ChunkedArray[Any]
else:  # pyarrow's own classes are not generic
    Array, Column = pa.Array, pa.ChunkedArray

NUMBER = pa.decimal128(38, 18)
"""Prices, sizes, and price x size rounded half-even to 18 decimals."""


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema(columns)


RECORDS = _schema(
    ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
    ("record_ms", pa.int64()), ("key", pa.string()), ("value", pa.binary()),
    ("feed", pa.string()), ("received_ns", pa.int64()), ("day", pa.date32()),
)  # fmt: skip
"""Records as they were received; `feeds.decoder.Context` says what each column means."""

EVENTS = _schema(
    ("record", pa.int64()), ("index", pa.int32()), ("kind", pa.string()),
    ("symbol", pa.string()), ("venue", pa.string()), ("id", pa.string()),
    ("sequence", pa.int64()), ("event_ns", pa.int64()), ("received_ns", pa.int64()),
    ("price", NUMBER), ("size", NUMBER), ("notional", NUMBER),
    ("conditions", pa.list_(pa.string())), ("tape", pa.string()), ("exchange", pa.string()),
    ("new_id", pa.string()),
)  # fmt: skip
"""Decoded events. `record` is the row of the record, `index` the event's place in it. A correction
may have a `new_id`.
"""

REJECTIONS = _schema(
    ("record", pa.int64()), ("index", pa.int32()),
    ("reason", pa.string()), ("detail", pa.string()),
)  # fmt: skip
"""Rejected events, placed like `EVENTS`."""

NAME = ("feed", "venue", "symbol", "id")
"""How an amendment names its trade; see `market.amendments.TradeName`."""
POSITION = ("topic", "partition", "offset", "index")
DELIVERIES = pa.schema(
    [field for field in EVENTS if field.name not in ("record", "index")]
    + [RECORDS.field(name) for name in ("feed", "topic", "partition", "offset")]
    + [EVENTS.field("index")]
)
"""Events with their feed and position, whatever batch they were decoded in."""

SETTLED = pa.schema(
    [field for field in DELIVERIES if field.name not in ("kind", "new_id")]
    + [
        pa.field("session", pa.date32()), pa.field("ordinal", pa.int64()),
        pa.field("duplicate", pa.bool_()), pa.field("cancelled", pa.bool_()),
        pa.field("corrected", pa.bool_()),
    ]
)  # fmt: skip
"""Trades with the values in force. `ordinal` numbers the trades of a venue and symbol from 1, in
the order of `market.trades.Trade.order`.
"""

WINDOWS = _schema(
    ("partition", pa.int32()), ("venue", pa.string()), ("symbol", pa.string()),
    ("start_ns", pa.int64()),
    ("open", NUMBER), ("high", NUMBER), ("low", NUMBER), ("close", NUMBER),
    ("volume", NUMBER), ("notional", NUMBER), ("priced_volume", NUMBER), ("trades", pa.int64()),
    ("first", pa.binary()), ("last", pa.binary()), ("first_offset", pa.int64()),
    ("closed_ns", pa.int64()), ("prints", pa.int64()), ("delivery", pa.int64()),
)  # fmt: skip
"""Mergeable tallies: what the trades of one partition add to a window that begins at `start_ns`.

`first` and `last` are the `kernel.windows.order_keys` of the trades that set open and close.
`first_offset` is the lowest offset of its trades, `closed_ns` what their partition had closed
before it, `prints` their number. `delivery` is the hash of the contract's key of a single trade
that may come twice, else null.
"""

ELIGIBILITY = _schema(
    *((name, pa.bool_()) for name in ("open_close", "high_low", "counts", "auction", "known"))
)
"""What a trade counts for; see `market.eligibility.Eligibility`, whose `volume` is `counts`."""

BARS = _schema(
    ("symbol", pa.string()), ("venue", pa.string()), ("start_ns", pa.int64()),
    ("open", NUMBER), ("high", NUMBER), ("low", NUMBER), ("close", NUMBER),
    ("volume", NUMBER), ("vwap", NUMBER), ("trades", pa.int64()),
)  # fmt: skip
"""Bars of one resolution, also those that only feed roll-ups: they lack a price."""
