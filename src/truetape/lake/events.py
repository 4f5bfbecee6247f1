"""The one reader of `raw`: archived records and the events inside them, as Arrow or as objects.

Decides nothing about them: which trade an amendment means is decided in `market.canonical`. Opens
only the files that can contain what is asked for; unpacks nested events in bounded batches.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, TypeAlias

from truetape.feeds.contract import gives_new_ids
from truetape.host.errors import ConfigError
from truetape.kernel.events import event_of
from truetape.lake.delta import SMALL_BATCHES, TablePart, open_table
from truetape.lake.tables import Table
from truetape.market.amendments import (
    AMENDMENT_REACH,
    TradeName,
    given_name,
    means_only_this_session,
    name_of,
    renaming,
)
from truetape.market.ranges import Range, Ranges
from truetape.market.resolution import MS_NS, SECOND_NS
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Correction, Event, Position, Trade

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset

    Expression: TypeAlias = pyarrow.dataset.Expression

MAX_EVENTS = 2_000_000
"""Most events of one symbol and session that are read: about a kilobyte of memory each."""
MAX_AMENDMENTS = 200_000
"""Most cancels and corrections of one session that are read: about 200 MB."""
RECEIPT_SLACK_NS = SECOND_NS
"""How long before its session an amendment of one of its trades may be received."""
_REACH_NS = int(AMENDMENT_REACH.total_seconds()) * SECOND_NS
_LAST_NS = 2**63 - 1

RECORD = ["topic", "partition", "offset", "feed", "contract_version"]
_REJECTED = ["topic", "partition", "offset", "key", "value", "feed", "rejected"]
_REJECTED_AT_ONCE = 5_000
"""Most rejected records in memory."""

Bounds = tuple[int, int]
"""Two event times, both included."""


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """An event, and the version of the contract that decoded it."""

    event: Event
    contract_version: int | None


@dataclass(frozen=True, slots=True)
class ArchivedAmendment:
    """A cancel or correction; `digest` is the SHA-256 of its record's payload."""

    event: Amendment
    digest: str


def session_bounds(session: Session) -> Bounds:
    """Return the event times of a session's own trades."""
    return session.start_ns, session.end_ns - 1


def reach_bounds(session: Session, amendments: Iterable[Amendment]) -> Bounds:
    """Return the event times within which amendments may mean a trade of another session."""
    latest = max((amendment.received_ns for amendment in amendments), default=session.end_ns)
    return session.start_ns - _REACH_NS, max(latest, session.end_ns)


def may_mean_others(
    amendments: Iterable[Amendment], first_receipts: Mapping[TradeName, int], session: Session
) -> list[Amendment]:
    """Return the amendments that may mean a trade of another session.

    `first_receipts`: when the first trade of each name of this session was received.
    """
    return [
        amendment
        for amendment in amendments
        if not means_only_this_session(amendment, first_receipts.get(name_of(amendment)), session)
    ]


@dataclass(frozen=True, slots=True)
class RawEvents:
    """The `raw` table of a lake, its newest version or an older one."""

    lake: str
    version: int | None = None

    def amendments(self, session: Session, names: Iterable[TradeName]) -> list[Amendment]:
        """Return the cancels and corrections that name one of these trades of a session, by an id
        that a correction gave it, too; and the corrections that gave such an id to another trade.

        Reads nothing without names.
        """
        found: dict[Position, Amendment] = {}
        wanted, asked = set(names), set(names)
        while asked:
            ids = sorted({name[3] for name in asked})
            named = [
                event
                for event in self._plain(amending(session), session.venue, ("id", ids))
                if not isinstance(event, Trade)
                and name_of(event) in asked
                and (event.event_ns is None or session.contains(event.event_ns))
            ]
            found |= {event.position: event for event in named}
            asked = {name for event in named if (name := given_name(event))} - wanted
            wanted |= asked
        found |= {
            event.position: event
            for event in self._renamings(amending(session), session.venue, wanted)
        }
        return list(found.values())

    def _renamings(
        self, records: "Expression", venue: str, names: Iterable[TradeName]
    ) -> list[Correction]:
        """Return the corrections in some records by which trades got these names."""
        wanted = {name for name in names if gives_new_ids(name[0])}
        if not wanted:
            return []
        return renaming(self._plain(records, venue, ("kind", ["correct"])), wanted)

    def originals(self, positions: Iterable[Position]) -> dict[Position, Trade]:
        """Return trades as they were received, by position."""
        import pyarrow.compute as pc

        wanted = set(positions)
        if not wanted:
            return {}
        offsets = sorted({position.offset for position in wanted})
        condition = (
            pc.field("topic").isin(sorted({position.topic for position in wanted}))
            & pc.field("partition").isin(sorted({position.partition for position in wanted}))
            & (pc.field("offset") >= offsets[0])
            & (pc.field("offset") <= offsets[-1])
            & pc.field("offset").isin(offsets)
        )
        return {
            event.position: event
            for event in self._plain(condition)
            if isinstance(event, Trade) and event.position in wanted
        }

    def renamed_before(self, session: Session, names: Iterable[TradeName]) -> list[Correction]:
        """Return the corrections received before a session that gave these names to trades, and the
        names which these corrections name.

        Reads nothing for feeds whose corrections give no names.
        """
        return self._renamings(amending_before(session), session.venue, names)

    def elsewhere(
        self, session: Session, amendments: Iterable[Amendment], trades: Iterable[Trade]
    ) -> list[Trade | Correction]:
        """Return trades of other sessions that amendments may mean instead of these trades, and the
        corrections before the session that gave them their names.

        Reads nothing if all of them mean only trades of this session.
        """
        receipts = {name_of(trade): trade.received_ns for trade in sorted(trades, key=_newest)}
        uncertain = may_mean_others(amendments, receipts, session)
        if not uncertain:
            return []
        names = {name_of(amendment) for amendment in uncertain}
        renamed = self.renamed_before(session, names)
        names |= {name_of(correction) for correction in renamed}
        ids = sorted({name[3] for name in names})
        nearby = overlapping(reach_bounds(session, uncertain))
        return [
            *renamed,
            *(
                event
                for event in self._plain(nearby, session.venue, ("id", ids))
                if isinstance(event, Trade)
                and name_of(event) in names
                and not session.contains(event.event_ns)
            ),
        ]

    def of_symbol(
        self, session: Session, symbol: str, as_of_ns: int | None = None
    ) -> list[ArchivedEvent]:
        """Return the trades of a symbol in a session, every amendment that may mean one of them,
        and the events of other sessions that `elsewhere` returns; received by `as_of_ns`.

        Raise ConfigError for more than MAX_EVENTS.
        """
        latest = _LAST_NS if as_of_ns is None else as_of_ns
        condition = overlapping(session_bounds(session)) | amending(session)
        archived: list[ArchivedEvent] = []
        for item in self._events(condition, session.venue, ("symbol", [symbol])):
            if not _concerns(item.event, session) or item.event.received_ns > latest:
                continue
            archived.append(item)
            if len(archived) > MAX_EVENTS:
                raise ConfigError(
                    f"{symbol} has over {MAX_EVENTS:,} events on {session.date}; "
                    "fold it with `truetape recompute`"
                )
        events = [item.event for item in archived]
        others = self.elsewhere(
            session,
            [event for event in events if not isinstance(event, Trade)],
            [event for event in events if isinstance(event, Trade)],
        )
        known = (event for event in others if event.received_ns <= latest)
        return [*archived, *(ArchivedEvent(event, None) for event in known)]

    def count_trades(self, session: Session) -> int:
        """Count a session's deliveries of trades."""
        import pyarrow.compute as pc

        start, last = session_bounds(session)
        count = 0
        for batch in self.scan(["events"], overlapping((start, last))):
            events = pc.list_flatten(batch.column("events"))
            is_trade = pc.and_(
                pc.equal(events.field("kind"), "trade"),
                pc.equal(events.field("venue"), session.venue),
            )
            times = events.field("event_ns")
            inside = pc.and_(pc.greater_equal(times, start), pc.less_equal(times, last))
            count += pc.sum(pc.and_(is_trade, inside)).as_py() or 0
        return count

    def amendments_on(self, session: Session) -> list[ArchivedAmendment]:
        """Return the cancels and corrections about an event time in a session; of those without
        an event time, the ones received during it.

        Raise ConfigError for more than MAX_AMENDMENTS records.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        start, last = session_bounds(session)
        received = pc.field("received_ns")
        during = (received >= start) & (received <= last)
        condition = pc.field("amends") & (during | overlapping((start, last)))
        amendments: list[ArchivedAmendment] = []
        for records in self.scan([*RECORD, "value", "events"], condition):
            if len(amendments) + records.num_rows > MAX_AMENDMENTS:
                raise ConfigError(
                    f"{session.venue} {session.date}: over {MAX_AMENDMENTS:,} cancels and "
                    "corrections; check the feed first"
                )
            for row in event_rows(pa.Table.from_batches([records])).to_pylist():
                when = row["received_ns"] if row["event_ns"] is None else row["event_ns"]
                event = event_of(row)
                mine = event.venue == session.venue and session.contains(when)
                if mine and not isinstance(event, Trade):
                    digest = hashlib.sha256(row["value"] or b"").hexdigest()
                    amendments.append(ArchivedAmendment(event, digest))
        return amendments

    def records(
        self, topic: str, wanted: Mapping[int, Range], columns: Sequence[str]
    ) -> "pyarrow.Table":
        """Return the records at these offsets, by partition."""
        import pyarrow.compute as pc

        parts = [_slice(topic, part, span.start, span.end) for part, span in wanted.items()]
        condition = reduce(or_, parts) if parts else pc.scalar(False)
        return open_table(self.lake, Table.RAW, self.version).select(columns, condition)

    def offset_bounds(self, topic: str, starts: Mapping[int, int]) -> dict[int, Range]:
        """Return, for each partition with records from its start on, the range that they span.

        Reads two narrow columns, batch by batch: cheap also for the first look at an old lake.
        """
        import pyarrow as pa

        condition = reduce(or_, (_slice(topic, part, start) for part, start in starts.items()))
        bounds: dict[int, Range] = {}
        for batch in self.scan(["partition", "offset"], condition):
            ends = pa.Table.from_batches([batch]).group_by("partition")
            for row in ends.aggregate([("offset", "min"), ("offset", "max")]).to_pylist():
                first, end = row["offset_min"], row["offset_max"] + 1
                earlier = bounds.get(row["partition"], Range(first, end))
                bounds[row["partition"]] = Range(min(earlier.start, first), max(earlier.end, end))
        return dict(sorted(bounds.items()))

    def scan(
        self, columns: Sequence[str], condition: "Expression"
    ) -> "Iterator[pyarrow.RecordBatch]":
        """Yield the records that satisfy a condition, in batches of bounded size."""
        table = open_table(self.lake, Table.RAW, self.version)
        yield from table.batches(columns, condition, **SMALL_BATCHES)

    def parts(self, condition: "Expression") -> list[TablePart]:
        """Return the parts of the table that may have records that satisfy a condition."""
        return open_table(self.lake, Table.RAW, self.version).parts(condition)

    def events_at(
        self, places: Mapping[tuple[str, int], Ranges], max_reads: int
    ) -> "Iterator[pyarrow.Table]":
        """Yield the events of the records at these offsets, by log and partition, as `event_rows`.

        Reads at most `max_reads` ranges of each partition, and the records between them too.
        """
        for (log, part), spans in places.items():
            for span in spans.coarsened(max_reads):
                yield from self.event_tables(_slice(log, part, span.start, span.end))

    def event_tables(self, condition: "Expression") -> "Iterator[pyarrow.Table]":
        """Yield the events of the records that satisfy a condition, as `event_rows`."""
        import pyarrow as pa

        for batch in self.scan([*RECORD, "events"], condition):
            yield event_rows(pa.Table.from_batches([batch]))

    def rejections_at(self, places: Mapping[tuple[str, int], Range]) -> "Iterator[pyarrow.Table]":
        """Yield the records with rejections at these offsets, by log and partition, in the order of
        their coordinates, some at a time.
        """
        import pyarrow.compute as pc

        for (log, part), span in sorted(places.items()):
            wanted = _slice(log, part, span.start, span.end) & (pc.field("rejections") > 0)
            table = open_table(self.lake, Table.RAW, self.version)
            offsets = table.select(["offset"], wanted)["offset"].sort().to_pylist()
            for start in range(0, len(offsets), _REJECTED_AT_ONCE):
                some = offsets[start : start + _REJECTED_AT_ONCE]
                condition = wanted & (pc.field("offset") >= some[0])
                condition &= pc.field("offset") <= some[-1]
                yield table.select(_REJECTED, condition).sort_by("offset")

    def _events(
        self,
        condition: "Expression",
        venue: str | None = None,
        one_of: tuple[str, list[str]] | None = None,
    ) -> Iterator[ArchivedEvent]:
        """Yield events, of one venue or all; `one_of` selects by the values of a column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pc.scalar(True) if venue is None else pc.field("venue") == venue
        if one_of is not None:
            wanted &= pc.field(one_of[0]).isin(pa.array(one_of[1], pa.string()))
        for rows in self.event_tables(condition):
            for row in rows.filter(wanted).to_pylist():
                yield ArchivedEvent(event_of(row), row["contract_version"])

    def _plain(
        self,
        condition: "Expression",
        venue: str | None = None,
        one_of: tuple[str, list[str]] | None = None,
    ) -> Iterator[Event]:
        return (item.event for item in self._events(condition, venue, one_of))


def event_rows(records: "pyarrow.Table") -> "pyarrow.Table":
    """Return one row an event, with the columns of its record beside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nested = records["events"].combine_chunks()
    parents = records.drop_columns(["events"]).take(pc.list_parent_indices(nested))
    rows = pa.Table.from_struct_array(pc.list_flatten(nested))
    for name in parents.column_names:
        rows = rows.append_column(name, parents[name])
    return rows


def overlapping(bounds: Bounds) -> "Expression":
    """Select the records with events in these bounds, or on both sides of them."""
    import pyarrow.compute as pc

    first, last = bounds
    return (pc.field("last_event_ns") >= first) & (pc.field("first_event_ns") <= last)


def received_since(instant_ns: int) -> "Expression":
    """Select the records received at an instant or later; those without a receipt time by Kafka's
    stamp.
    """
    import pyarrow.compute as pc

    received, stamp_ms = pc.field("received_ns"), pc.field("record_ms")
    stamped = received.is_null() & (stamp_ms >= instant_ns // MS_NS)
    return (received >= instant_ns) | stamped


def with_events_since(instant_ns: int) -> "Expression":
    """Select the records with an event at an instant or later."""
    import pyarrow.compute as pc

    return pc.field("last_event_ns") >= instant_ns


def amending(session: Session) -> "Expression":
    """Select the records with amendments that may mean a trade of a session."""
    import pyarrow.compute as pc

    received = pc.field("received_ns")
    recent = (received >= session.start_ns - RECEIPT_SLACK_NS) | received.is_null()
    return pc.field("amends") & recent


def amending_before(session: Session) -> "Expression":
    """Select the records with amendments received before a session, within their reach."""
    import pyarrow.compute as pc

    received, last = pc.field("received_ns"), session.start_ns - RECEIPT_SLACK_NS
    return pc.field("amends") & (received >= session.start_ns - _REACH_NS) & (received < last)


def _concerns(event: Event, session: Session) -> bool:
    """True if an event lies in a session, or is an amendment that may mean one of its trades."""
    if event.event_ns is not None:
        return session.contains(event.event_ns)
    return event.received_ns >= session.start_ns


def _slice(topic: str, partition: int, start: int, end: int | None = None) -> "Expression":
    import pyarrow.compute as pc

    condition = (pc.field("topic") == topic) & (pc.field("partition") == partition)
    condition &= pc.field("offset") >= start
    return condition if end is None else condition & (pc.field("offset") < end)


def _newest(trade: Trade) -> int:
    return -trade.received_ns
