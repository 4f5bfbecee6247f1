"""The Arrow schema and the partition columns of each table of the lake.

The one place that knows the tables' columns; Spark's schemas are derived from these.
"""

from collections.abc import Mapping

import pyarrow as pa

from truetape.lake.tables import Table
from truetape.market.trades import DECIMALS, WHOLE_DIGITS

_TEXT, _LONG, _INT = pa.string(), pa.int64(), pa.int32()
_BOOL, _DATE, _FLOAT = pa.bool_(), pa.date32(), pa.float64()
_TEXTS = pa.list_(_TEXT)


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema(columns)


NUMBER = pa.decimal128(WHOLE_DIGITS + DECIMALS, DECIMALS)
"""Prices, sizes, notionals, VWAPs and sums of them."""

EVENT = pa.struct(
    [
        ("index", _INT), ("kind", _TEXT), ("symbol", _TEXT), ("venue", _TEXT), ("id", _TEXT),
        ("sequence", _LONG), ("event_ns", _LONG), ("received_ns", _LONG), ("price", NUMBER),
        ("size", NUMBER), ("notional", NUMBER), ("conditions", _TEXTS), ("tape", _TEXT),
        ("exchange", _TEXT), ("new_id", _TEXT),
    ]
)  # fmt: skip
"""One trade, cancel or correction of a record of `raw`; `kind` says which."""
REJECTION = pa.struct([("index", _INT), ("reason", _TEXT), ("detail", _TEXT)])
"""One event of a record that was rejected."""

RAW = _schema(
    ("topic", _TEXT), ("partition", _INT), ("offset", _LONG), ("record_ms", _LONG),
    ("key", _TEXT), ("value", pa.binary()), ("feed", _TEXT), ("received_ns", _LONG),
    ("contract_version", _INT), ("date", _DATE), ("first_event_ns", _LONG),
    ("last_event_ns", _LONG), ("amends", _BOOL), ("accepted", _INT), ("rejections", _INT),
    ("events", pa.list_(EVENT)),
    ("rejected", pa.list_(REJECTION)),
)  # fmt: skip
TRADES = _schema(
    ("venue", _TEXT), ("session", _DATE), ("symbol", _TEXT), ("ordinal", _LONG),
    ("feed", _TEXT), ("id", _TEXT), ("sequence", _LONG), ("event_ns", _LONG),
    ("received_ns", _LONG), ("price", NUMBER), ("size", NUMBER), ("notional", NUMBER),
    ("conditions", _TEXTS), ("tape", _TEXT), ("exchange", _TEXT), ("topic", _TEXT),
    ("partition", _INT), ("offset", _LONG), ("index", _INT), ("duplicate", _BOOL),
    ("cancelled", _BOOL), ("corrected", _BOOL), ("late", _BOOL), ("in_day", _BOOL),
    ("open_close", _BOOL), ("high_low", _BOOL), ("counts", _BOOL), ("auction", _BOOL),
    ("known", _BOOL),
)  # fmt: skip
BARS = _schema(
    ("venue", _TEXT), ("session", _DATE), ("symbol", _TEXT), ("resolution", _TEXT),
    ("start_ns", _LONG), ("seq", _INT), ("open", NUMBER), ("high", NUMBER), ("low", NUMBER),
    ("close", NUMBER), ("volume", NUMBER), ("vwap", NUMBER), ("trades", _LONG),
    ("notional", NUMBER), ("priced_volume", NUMBER), ("first", _LONG), ("last", _LONG),
    ("served", _BOOL), ("profile", _TEXT), ("profile_version", _INT),
)  # fmt: skip

_COVERAGE = _schema(
    ("topic", _TEXT), ("raw_id", _TEXT), ("raw_version", _LONG), ("partition", _LONG),
    ("first", _LONG), ("last", _LONG), ("records", _LONG), ("accepted", _LONG),
    ("rejected", _LONG), ("last_ms", _LONG),
)  # fmt: skip
_GENERATIONS = _schema(
    ("topic", _TEXT), ("partition", _INT), ("number", _INT), ("topic_id", _TEXT),
    ("begun_ns", _LONG), ("who", _TEXT), ("reason", _TEXT),
)  # fmt: skip
_BARS_LINEAGE = _schema(
    ("venue", _TEXT), ("session", _DATE), ("raw_id", _TEXT), ("raw_version", _LONG),
    ("bars_version", _LONG), ("symbols", _TEXTS), ("recorded_ns", _LONG),
)  # fmt: skip
_DIRTY = _schema(
    ("venue", _TEXT), ("session", _DATE), ("symbol", _TEXT), ("trades", _LONG),
    ("amendments", _LONG), ("raw_id", _TEXT), ("raw_version", _LONG), ("marked_ns", _LONG),
)  # fmt: skip
_SUPERSEDED = _schema(
    ("venue", _TEXT), ("session", _DATE), ("kind", _TEXT), ("resolution", _TEXT),
    ("symbol", _TEXT), ("start_ns", _LONG), ("rev", _LONG), ("seq", _LONG), ("void", _BOOL),
    ("trades", _LONG), ("values", _TEXT), ("open", _FLOAT), ("high", _FLOAT),
    ("low", _FLOAT), ("close", _FLOAT), ("volume", _FLOAT), ("vwap", _FLOAT),
)  # fmt: skip
_CAUSE = pa.struct(
    [
        ("cause", _TEXT), ("delta", NUMBER), ("lateness_ns", _LONG), ("count", _LONG),
        ("trades", _TEXTS),
    ]
)  # fmt: skip
_DRIFT = _schema(
    ("venue", _TEXT), ("session", _DATE), ("rev", _LONG), ("symbol", _TEXT),
    ("resolution", _TEXT), ("start_ns", _LONG), ("field", _TEXT), ("change", _TEXT),
    ("before", NUMBER), ("after", NUMBER), ("delta", NUMBER),
    ("causes", pa.list_(_CAUSE)),
)  # fmt: skip
_PUBLICATIONS = _schema(
    ("venue", _TEXT), ("session", _DATE), ("rev", _LONG), ("as_of_ns", _LONG),
    ("published_ns", _LONG), ("digest", _TEXT), ("bars", _LONG), ("edits", _LONG),
    ("voids", _LONG), ("code_version", _TEXT), ("profile", _TEXT), ("profile_version", _LONG),
    ("bars_version", _LONG), ("run_id", _TEXT), ("who", _TEXT), ("reason", _TEXT),
    ("raw_version", _LONG), ("restores", _LONG),
)  # fmt: skip

SCHEMAS: Mapping[Table, pa.Schema] = {
    Table.RAW: RAW,
    Table.COVERAGE: _COVERAGE,
    Table.GENERATIONS: _GENERATIONS,
    Table.TRADES: TRADES,
    Table.BARS: BARS,
    Table.BARS_LINEAGE: _BARS_LINEAGE,
    Table.DIRTY: _DIRTY,
    Table.SUPERSEDED: _SUPERSEDED,
    Table.DRIFT: _DRIFT,
    Table.PUBLICATIONS: _PUBLICATIONS,
}

_BY_SESSION = ("venue", "session")
PARTITIONS: Mapping[Table, tuple[str, ...]] = {
    # one Kafka partition a file, also after compaction: only then does a range of offsets select
    # the files that contain it
    Table.RAW: ("date", "partition"),
    Table.COVERAGE: (),
    Table.GENERATIONS: (),
    Table.TRADES: _BY_SESSION,
    Table.BARS: _BY_SESSION,
    Table.BARS_LINEAGE: _BY_SESSION,
    Table.DIRTY: _BY_SESSION,
    Table.SUPERSEDED: _BY_SESSION,
    Table.DRIFT: _BY_SESSION,
    Table.PUBLICATIONS: (),
}
