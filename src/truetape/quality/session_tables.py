"""Reads one session from the lake as Arrow tables, without Spark.

Reads the session's own partitions, and only the files of `raw` that can overlap it.
`benchmarks/quality.py` measures the memory that this takes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.venues import venues
from truetape.lake.delta import LakeTable, expected_types, open_table
from truetape.lake.events import ArchivedAmendment, RawEvents
from truetape.lake.tables import Table, session_condition, session_filters
from truetape.market.amendments import AMENDMENT_REACH, TradeName, given_name, name_of
from truetape.market.ranges import Range
from truetape.market.sessions import Session
from truetape.market.trades import Amendment
from truetape.quality.columns import in_order

if TYPE_CHECKING:
    import pyarrow.dataset


MAX_TRADES = 30_000_000
"""A trade takes 0.9 kB, frames of the gate included, so these take 27 GB."""

TRADE_COLUMNS = (
    "symbol", "ordinal", "feed", "id", "event_ns", "received_ns", "price", "size", "conditions",
    "exchange", "topic", "partition", "offset", "index", "duplicate", "cancelled", "corrected",
    "late", "in_day", "open_close", "high_low", "counts", "auction", "known",
)  # fmt: skip
BAR_COLUMNS = (
    "symbol", "resolution", "start_ns", "seq", "open", "high", "low", "close", "volume", "vwap",
    "trades", "notional", "priced_volume", "first", "last", "served", "profile", "profile_version",
)  # fmt: skip
"""The columns that the frames use. If the lake's table lacks one, or has another type for it than
`lake.schemas`, only the frames about the schema are built."""

_ORDER = {Table.TRADES: ("symbol", "ordinal"), Table.BARS: ("symbol", "resolution", "start_ns")}


@dataclass(frozen=True, slots=True)
class Coverage:
    """The number of records that `raw` has of a partition, within a range of offsets."""

    topic: str
    partition: int
    offsets: Range
    records: int
    distinct: int


@dataclass(frozen=True, slots=True)
class SessionTables:
    """One session as the lake has it.

    `trades` are ordered by symbol and ordinal, `bars` by symbol, resolution and start. Each is None
    if the lake's table lacks a column or has another type for it. `declared_trades` and
    `declared_bars` list the columns of the lake's tables as "name type".
    """

    session: Session
    trades: pa.Table | None
    bars: pa.Table | None
    declared_trades: tuple[str, ...]
    declared_bars: tuple[str, ...]
    archived: int
    """Number of deliveries of this session's trades in `raw`."""
    coverage: tuple[Coverage, ...]
    amendments: tuple[ArchivedAmendment, ...]
    given: Mapping[TradeName, TradeName]
    """The names that corrections gave to trades, each with the name that the correction names."""
    named_before: frozenset[TradeName] | None
    """Amended trades that belong to earlier sessions; None if the session before is unknown."""


def read_session(lake: str, session: Session) -> SessionTables:
    """Read a session. Raise ConfigError if it was never recomputed or is too large."""
    trades, bars = (open_table(lake, table) for table in (Table.TRADES, Table.BARS))
    _check_size(trades, session)
    rows = _of_session(trades, Table.TRADES, session, TRADE_COLUMNS)
    raw = RawEvents(lake)
    amendments = tuple(raw.amendments_on(session))
    given = _given(raw, session, amendments)
    names = {name_of(amendment.event) for amendment in amendments} | set(given.values())
    return SessionTables(
        session=session,
        trades=rows,
        bars=_of_session(bars, Table.BARS, session, BAR_COLUMNS),
        declared_trades=_texts(trades),
        declared_bars=_texts(bars),
        archived=raw.count_trades(session),
        coverage=() if rows is None else tuple(_coverage(raw, rows)),
        amendments=amendments,
        given=given,
        named_before=None
        if rows is None
        else _named_before(trades, session, names - _named_in(rows, names, session.venue)),
    )


def fingerprint(lake: str, session: Session) -> str:
    """Return a digest of a session's files. It changes only if the session is recomputed."""
    total = hashlib.sha256()
    for table in (Table.TRADES, Table.BARS):
        total.update("\n".join(sorted(open_table(lake, table).files(session))).encode())
    return total.hexdigest()


def _check_size(trades: LakeTable, session: Session) -> None:
    """Count the trades before reading any: the files' footers have the counts."""
    rows = trades.count(session_condition(session))
    if rows > MAX_TRADES:
        raise ConfigError(
            f"{session.venue} {session.date}: {rows:,} trades; "
            f"the gate checks sessions of up to {MAX_TRADES:,}"
        )
    if not rows:
        raise ConfigError(
            f"{session.venue} {session.date} was not recomputed; "
            f"run `truetape recompute --venue {session.venue} --session {session.date}`"
        )


def _of_session(
    opened: LakeTable, table: Table, session: Session, columns: Sequence[str]
) -> pa.Table | None:
    declared, expected = opened.column_types(), expected_types(table)
    if any(declared.get(name) != expected[name] for name in columns):
        return None
    rows = opened.rows(session_filters(session), columns)
    return in_order(rows, _ORDER[table])


def _texts(table: LakeTable) -> tuple[str, ...]:
    return tuple(f"{name} {kind}" for name, kind in table.column_types().items())


def _coverage(raw: RawEvents, trades: pa.Table) -> Iterator[Coverage]:
    """Count the offsets that `raw` has between the first and last on-time trade of the session.

    Late trades are excluded: a trade that arrives days later would make this read all those days.
    """
    on_time = trades.filter(pc.invert(trades["late"]))
    ends = on_time.group_by(["topic", "partition"]).aggregate(
        [("offset", "min"), ("offset", "max")]
    )
    for row in ends.sort_by([("topic", "ascending"), ("partition", "ascending")]).to_pylist():
        topic, partition = row["topic"], row["partition"]
        first, last = row["offset_min"], row["offset_max"]
        offsets = Range(first, last + 1)
        archived = raw.records(topic, {partition: offsets}, ["offset"])["offset"]
        yield Coverage(
            topic, partition, offsets, len(archived), pc.count_distinct(archived).as_py()
        )


def _given(
    raw: RawEvents, session: Session, amendments: Sequence[ArchivedAmendment]
) -> Mapping[TradeName, TradeName]:
    """Return the names that corrections gave, in this session or before it."""
    events: list[Amendment] = [amendment.event for amendment in amendments]
    names = {name_of(event) for event in events}
    return {
        given: name_of(event)
        for event in [*raw.renamed_before(session, names), *events]
        if (given := given_name(event)) is not None
    }


def _named_before(
    trades: LakeTable, session: Session, names: AbstractSet[TradeName]
) -> frozenset[TradeName] | None:
    """Find named trades in earlier sessions within reach of an amendment.

    Return None if the session before was not recomputed. Read nothing without names.
    """
    if not names:
        return frozenset()
    if not _has_previous(trades, session):
        return None
    condition = (
        (pc.field("venue") == session.venue)
        & (pc.field("session") >= pa.scalar(session.date - AMENDMENT_REACH))
        & (pc.field("session") < pa.scalar(session.date))
        & pc.field("id").isin(sorted({name[3] for name in names}))
    )
    columns = ["feed", "symbol", "id"]
    rows = trades.select(columns, condition)
    return frozenset(names & _names(rows, session.venue))


def _has_previous(trades: LakeTable, session: Session) -> bool:
    """True if the last regular session before this one was recomputed."""
    earlier = calendars.sessions(
        venues()[session.venue],
        session.date - AMENDMENT_REACH,
        session.date - timedelta(days=1),
    )
    regular = [day.date.isoformat() for day in earlier if day.open_ns is not None]
    parts = {(part["venue"], str(part["session"])) for part in trades.partitions()}
    return bool(regular) and (session.venue, regular[-1]) in parts


def _named_in(
    trades: pa.Table, names: AbstractSet[TradeName], venue: str
) -> AbstractSet[TradeName]:
    """Return those names that belong to trades of this session."""
    ids = pa.array(sorted({name[3] for name in names}), pa.string())
    return names & _names(trades.filter(pc.is_in(trades["id"], ids)), venue)


def _names(trades: pa.Table, venue: str) -> set[TradeName]:
    rows = trades.select(["feed", "symbol", "id"]).to_pylist()
    return {(row["feed"], venue, row["symbol"], row["id"]) for row in rows}
