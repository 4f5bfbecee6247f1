"""What the lake holds of one session, read without Spark.

Held as Arrow: what that takes is measured by `benchmarks/quality.py`. Reads the session's own
partitions, and of `raw` only what can overlap it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.venues import venues
from truetape.lake.delta import column_types, expected_types, open_table
from truetape.lake.events import ArchivedAmendment, RawEvents
from truetape.lake.tables import Table, session_filters
from truetape.market.canonical import AMENDMENT_REACH, TradeName, name_of
from truetape.market.ranges import Range
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow.dataset

    from truetape.lake.delta import DeltaTable

MAX_TRADES = 30_000_000
"""At 0.9 kB a trade, all that the gate makes of them included, these take 27 GB."""

TRADE_COLUMNS = (
    "symbol", "ordinal", "feed", "id", "event_ns", "received_ns", "price", "size", "conditions",
    "exchange", "topic", "partition", "offset", "index", "duplicate", "cancelled", "corrected",
    "late", "in_day", "open_close", "high_low", "counts", "auction", "known",
)  # fmt: skip
BAR_COLUMNS = (
    "symbol", "resolution", "start_ns", "seq", "open", "high", "low", "close", "volume", "vwap",
    "trades", "notional", "priced_volume", "first", "last", "served", "profile", "profile_version",
)  # fmt: skip
"""The columns that the frames are made of. If the lake's table lacks one, or has another type for
it than `lake.schemas`, only the frames about the schema are made."""

_ORDER = {Table.TRADES: ("symbol", "ordinal"), Table.BARS: ("symbol", "resolution", "start_ns")}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many records `raw` has of a partition, within a range of offsets."""

    topic: str
    partition: int
    offsets: Range
    records: int
    distinct: int


@dataclass(frozen=True, slots=True)
class SessionTables:
    """One session as the lake has it.

    `trades` are ordered by symbol and ordinal, `bars` by symbol, resolution and start; each is None
    where the lake's table lacks a column or has it in another type. The `declared` ones are texts
    of name and type.
    """

    session: Session
    trades: pa.Table | None
    bars: pa.Table | None
    declared_trades: tuple[str, ...]
    declared_bars: tuple[str, ...]
    archived: int
    """Deliveries of trades of this session that `raw` holds now."""
    coverage: tuple[Coverage, ...]
    amendments: tuple[ArchivedAmendment, ...]
    named_before: frozenset[TradeName] | None
    """Which trades that amendments name are of sessions before, None where that is not known."""


def read_session(lake: str, session: Session) -> SessionTables:
    """Read a session; ConfigError when it was never recomputed or is too large."""
    trades, bars = (open_table(lake, table) for table in (Table.TRADES, Table.BARS))
    _check_size(trades, session)
    rows = _of_session(trades, Table.TRADES, session, TRADE_COLUMNS)
    raw = RawEvents(lake)
    amendments = tuple(raw.amendments_on(session))
    names = {name_of(amendment.event) for amendment in amendments}
    return SessionTables(
        session=session,
        trades=rows,
        bars=_of_session(bars, Table.BARS, session, BAR_COLUMNS),
        declared_trades=_texts(trades),
        declared_bars=_texts(bars),
        archived=raw.count_trades(session),
        coverage=() if rows is None else tuple(_coverage(raw, rows)),
        amendments=amendments,
        named_before=None
        if rows is None
        else _named_before(trades, session, names - _named_in(rows, names, session.venue)),
    )


def fingerprint(lake: str, session: Session) -> str:
    """Return a digest of the files that hold a session: equal as long as nobody recomputes it."""
    total = hashlib.sha256()
    for table in (Table.TRADES, Table.BARS):
        chosen = [("venue", "=", session.venue), ("session", "=", session.date.isoformat())]
        files = open_table(lake, table).file_uris(file_pruning_predicate=chosen)
        total.update("\n".join(sorted(files)).encode())
    return total.hexdigest()


def _check_size(trades: "DeltaTable", session: Session) -> None:
    """Count before anything is read; the counts of files are in their footers."""
    mine = (pc.field("venue") == session.venue) & (pc.field("session") == pa.scalar(session.date))
    rows = trades.to_pyarrow_dataset().count_rows(filter=mine)
    if rows > MAX_TRADES:
        raise ConfigError(
            f"{session.venue} {session.date}: {rows:,} trades; "
            f"the gate takes sessions of up to {MAX_TRADES:,}"
        )
    if not rows:
        raise ConfigError(
            f"{session.venue} {session.date} was not recomputed; "
            f"run `truetape recompute --venue {session.venue} --session {session.date}`"
        )


def _of_session(
    opened: "DeltaTable", table: Table, session: Session, columns: Sequence[str]
) -> pa.Table | None:
    declared, expected = column_types(opened), expected_types(table)
    if any(declared.get(name) != expected[name] for name in columns):
        return None
    rows = opened.to_pyarrow_table(filters=session_filters(session), columns=list(columns))
    return rows.sort_by([(name, "ascending") for name in _ORDER[table]])


def _texts(table: "DeltaTable") -> tuple[str, ...]:
    return tuple(f"{name} {kind}" for name, kind in column_types(table).items())


def _coverage(raw: RawEvents, trades: pa.Table) -> Iterator[Coverage]:
    """Count the offsets that `raw` has between the first and last on-time trade of the session.

    Late trades are left out: one that comes days later would make this read those days.
    """
    on_time = trades.filter(pc.invert(trades["late"]))
    ends = on_time.group_by(["topic", "partition"]).aggregate(
        [("offset", "min"), ("offset", "max")]
    )
    for row in ends.sort_by([("topic", "ascending"), ("partition", "ascending")]).to_pylist():
        topic, partition = row["topic"], row["partition"]
        first, last = row["offset_min"], row["offset_max"]
        offsets = Range(first, last + 1)
        held = raw.records(topic, {partition: offsets}, ["offset"])["offset"]
        yield Coverage(topic, partition, offsets, len(held), pc.count_distinct(held).as_py())


def _named_before(
    trades: "DeltaTable", session: Session, names: AbstractSet[TradeName]
) -> frozenset[TradeName] | None:
    """Find named trades in the sessions within reach; None where the one before is not recomputed.

    Reads nothing where no name is left to find.
    """
    if not names:
        return frozenset()
    if not _has_previous(trades, session):
        return None
    chosen = (
        (pc.field("venue") == session.venue)
        & (pc.field("session") >= pa.scalar(session.date - AMENDMENT_REACH))
        & (pc.field("session") < pa.scalar(session.date))
        & pc.field("id").isin(sorted({name[3] for name in names}))
    )
    columns = ["feed", "symbol", "id"]
    rows = trades.to_pyarrow_dataset().to_table(columns=columns, filter=chosen)
    return frozenset(names & _names(rows, session.venue))


def _has_previous(trades: "DeltaTable", session: Session) -> bool:
    """Say whether the last regular session before this one was recomputed."""
    before = calendars.sessions(
        venues()[session.venue],
        session.date - AMENDMENT_REACH,
        session.date - timedelta(days=1),
    )
    regular = [one.date.isoformat() for one in before if one.open_ns is not None]
    parts = {(part["venue"], str(part["session"])) for part in trades.partitions()}
    return bool(regular) and (session.venue, regular[-1]) in parts


def _named_in(
    trades: pa.Table, names: AbstractSet[TradeName], venue: str
) -> AbstractSet[TradeName]:
    """Return the names that this session's own trades have."""
    ids = pa.array(sorted({name[3] for name in names}), pa.string())
    return names & _names(trades.filter(pc.is_in(trades["id"], ids)), venue)


def _names(trades: pa.Table, venue: str) -> set[TradeName]:
    rows = trades.select(["feed", "symbol", "id"]).to_pylist()
    return {(row["feed"], venue, row["symbol"], row["id"]) for row in rows}
