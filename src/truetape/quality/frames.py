"""Frames: which tables the rules check, and their columns. Builds none of them.

A frame is an Arrow table, so that numbers stay exact: prices and sizes are decimals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


class SuiteTable(StrEnum):
    """What a suite checks."""

    TRADES = "trades"
    BARS = "bars"
    RECONCILIATION = "reconciliation"
    SERVED = "served"
    FEED = "feed"


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows to check. `name` is a key of the table's `FRAMES`, which lists its columns."""

    name: str
    table: "pyarrow.Table"


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """What a row of a frame is, the columns that identify it, and its other columns."""

    row: str
    keys: tuple[str, ...]
    values: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all columns."""
        return self.keys + self.values


def _columns(row: str, keys: str, values: str = "") -> FrameColumns:
    return FrameColumns(row, tuple(keys.split()), tuple(values.split()))


_POSITION = "topic partition offset index"
_PARTITIONS = _columns("a Kafka partition", "topic partition", "first last records holes repeats")
_TYPES = _columns("a column of the lake's table, as name and type", "declared")

FRAMES: Mapping[SuiteTable, Mapping[str, FrameColumns]] = {
    SuiteTable.TRADES: {
        "columns": _columns("no row at all: the columns of the lake's table", ""),
        "types": _TYPES,
        "trades": _columns(
            "a delivered trade",
            f"symbol event_ns id {_POSITION}",
            "feed received_ns price size known keyed ahead_ns off_hours_s on_grid grid_rest "
            "positive_only deviation volume_share",
        ),
        "feeds": _columns(
            "a feed",
            "feed",
            "trades duplicate_share late_p50_s late_p99_s late_max_s backward_share "
            "odd_lot_share off_exchange_share",
        ),
        "series": _columns(
            "a symbol of a feed that numbers trades without a gap", "feed symbol", "ids missing"
        ),
        "symbols": _columns("a symbol", "symbol", "trades usual_trades ratio"),
        "partitions": _PARTITIONS,
        "amendments": _columns(
            "a cancel or correction", f"kind symbol id received_ns {_POSITION}",
            "found applied cancels clashes",
        ),
        "session": _columns("the session", "venue session", "archived recomputed missed_share"),
    },
    SuiteTable.BARS: {
        "types": _TYPES,
        "bars": _columns(
            "a bar of the lake",
            "resolution symbol start_ns",
            "seq open high low close volume vwap trades first last served profile profile_version "
            "body_top body_bottom low_floor high_ceil vwap_exact has_volume is_base prints "
            "is_short range_factor start_rest seq_rest in_session positive_only",
        ),
        "rollups": _columns(
            "a 1m, 5m or 1h bar, stored or made from narrower ones", "resolution symbol start_ns",
            "equal differs",
        ),
        "folds": _columns(
            "a 1s or 1d bar, stored or made from the session's trades",
            "resolution symbol start_ns", "equal differs",
        ),
        "counts": _columns(
            "a symbol at one width, its bars between open and close", "resolution symbol",
            "regular most",
        ),
        "minutes": _columns(
            "a symbol", "symbol", "missing_share usual_missing_share excess_missing"
        ),
        "opens": _columns("a symbol", "symbol", "open previous_close sigmas"),
        "official": _columns(
            "a print of an official open or close", f"symbol event_ns id {_POSITION}", "counts"
        ),
    },
    SuiteTable.RECONCILIATION: {
        "edits": _columns(
            "a row of 1m or wider that publication would write", "resolution symbol start_ns",
            "change rev_before rev_after",
        ),
        "levels": _columns(
            "a width from 1m on",
            "resolution",
            "provisional changed_share close_p95_bps final lost_share is_judged volume_ratio",
        ),
        "session": _columns("the session", "venue session", "profile_recomputed profile_speed"),
    },
    SuiteTable.SERVED: {
        "rows": _columns(
            "a bar of 1m or wider, served or recomputed", "resolution symbol start_ns",
            "side in_both equal is_void is_empty",
        ),
        "digests": _columns(
            "a symbol at one width", "resolution symbol",
            "bars_served bars_recomputed fingerprint_served fingerprint_recomputed",
        ),
        "edits": _columns(
            "a row that publishing again would write", "resolution symbol start_ns", "change"
        ),
    },
    SuiteTable.FEED: {
        "feeds": _columns(
            "a feed",
            "feed",
            "records events rejected silent rejected_share duplicate_share late_p99_s "
            "first_event_ns last_event_ns",
        ),
        "reasons": _columns("a reason for which records of a feed were rejected", "feed reason",
                          "count share"),
        "partitions": _PARTITIONS,
    },
}  # fmt: skip

NAMES: Mapping[SuiteTable, tuple[str, ...]] = {
    SuiteTable.TRADES: ("session_start_ns", "session_end_ns", "future_slack_ns"),
    SuiteTable.BARS: ("newest_event_ns",),
    SuiteTable.RECONCILIATION: (),
    SuiteTable.SERVED: (),
    SuiteTable.FEED: (),
}
"""The `$names` that a rule may use."""
