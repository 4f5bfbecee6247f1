"""Events as archived, read from the lake's `raw` without Spark.

Reads only the files that can hold what is asked for; filters what is nested in bounded batches.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truetape.host.errors import ConfigError
from truetape.lake.delta import open_table
from truetape.lake.tables import Table
from truetape.market.canonical import AMENDMENT_REACH
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Cancel, Correction, Event, Position, Trade

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset

MAX_EVENTS = 2_000_000
"""Most events of one symbol and session that are read: about a kilobyte of memory each."""
_REACH_NS = int(AMENDMENT_REACH.total_seconds()) * SECOND_NS

Name = tuple[str, str, str]
"""Feed, symbol and id: what an amendment calls its trade."""

_COLUMNS = ["topic", "partition", "offset", "feed", "contract_version", "events"]
_NARROW = {"batch_size": 32_768, "batch_readahead": 2, "fragment_readahead": 1}
"""How nested events are scanned: what Arrow reads ahead by itself is 500 MB of them."""
_LAST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """An event, and the version of the contract that decoded it."""

    event: Event
    contract_version: int | None


@dataclass(frozen=True, slots=True)
class RawEvents:
    """The `raw` table of a lake."""

    lake: str

    def amendments(self, session: Session, names: Iterable[Name]) -> list[Amendment]:
        """Return the cancels and corrections received since a session began that call a trade so.

        Of no names, nothing is read.
        """
        import pyarrow.compute as pc

        wanted = set(names)
        if not wanted:
            return []
        recent = pc.field("amends") & (pc.field("received_ns") >= session.start_ns)
        ids = sorted({name[2] for name in wanted})
        found = [
            event
            for event in self._plain(recent, session.venue, ("id", ids))
            if not isinstance(event, Trade) and (event.feed, event.symbol, event.id) in wanted
        ]
        return [one for one in found if one.event_ns is None or session.contains(one.event_ns)]

    def originals(self, positions: Iterable[Position]) -> dict[Position, Trade]:
        """Return trades as they were received, by their positions."""
        import pyarrow.compute as pc

        wanted = set(positions)
        if not wanted:
            return {}
        offsets = sorted({place.offset for place in wanted})
        chosen = (
            pc.field("topic").isin(sorted({place.topic for place in wanted}))
            & pc.field("partition").isin(sorted({place.partition for place in wanted}))
            & (pc.field("offset") >= offsets[0])
            & (pc.field("offset") <= offsets[-1])
            & pc.field("offset").isin(offsets)
        )
        return {
            event.position: event
            for event in self._plain(chosen, None, None)
            if isinstance(event, Trade) and event.position in wanted
        }

    def elsewhere(
        self, session: Session, amendments: Iterable[Amendment], trades: Iterable[Trade]
    ) -> list[Trade]:
        """Return trades of other sessions that amendments may mean rather than these trades.

        An id is unique within a day only. An amendment that names no day, and came after the
        session or before any trade of its id, may mean a trade of a neighbour; `batch.recompute`
        looks as far. Reads nothing where there is none such.
        """
        import pyarrow.compute as pc

        seen = {_name(trade): trade.received_ns for trade in sorted(trades, key=_newest_first)}
        open_ones = [one for one in amendments if not _is_settled(one, seen, session)]
        if not open_ones:
            return []
        names = {_name(one) for one in open_ones}
        latest = max(session.end_ns, *(one.received_ns for one in open_ones))
        nearby = (pc.field("last_event_ns") >= session.start_ns - _REACH_NS) & (
            pc.field("first_event_ns") <= latest
        )
        ids = sorted({name[2] for name in names})
        return [
            event
            for event in self._plain(nearby, session.venue, ("id", ids))
            if isinstance(event, Trade)
            and _name(event) in names
            and not session.contains(event.event_ns)
        ]

    def of_symbol(
        self, session: Session, symbol: str, as_of_ns: int | None = None
    ) -> list[ArchivedEvent]:
        """Return the trades of a symbol in a session, all that could amend one of them, and the
        trades of other sessions that are amended instead; received at or before `as_of_ns`.

        ConfigError for more than MAX_EVENTS.
        """
        import pyarrow.compute as pc

        latest = _LAST_NS if as_of_ns is None else as_of_ns
        inside = (pc.field("first_event_ns") < session.end_ns) & (
            pc.field("last_event_ns") >= session.start_ns
        )
        amending = pc.field("amends") & (pc.field("received_ns") >= session.start_ns)
        found: list[ArchivedEvent] = []
        for item in self._events(inside | amending, session.venue, ("symbol", [symbol])):
            when = item.event.event_ns
            mine = when is None or session.contains(when)
            if not mine or item.event.received_ns > latest:
                continue
            found.append(item)
            if len(found) > MAX_EVENTS:
                raise ConfigError(
                    f"{symbol} has over {MAX_EVENTS:,} events on {session.date}; "
                    "fold it with `truetape recompute`"
                )
        events = [item.event for item in found]
        others = self.elsewhere(
            session,
            [one for one in events if not isinstance(one, Trade)],
            [one for one in events if isinstance(one, Trade)],
        )
        known = (one for one in others if one.received_ns <= latest)
        return [*found, *(ArchivedEvent(one, None) for one in known)]

    def _events(
        self,
        chosen: "pyarrow.dataset.Expression",
        venue: str | None,
        one_of: tuple[str, list[str]] | None,
    ) -> Iterator[ArchivedEvent]:
        import pyarrow as pa
        import pyarrow.compute as pc

        raw = open_table(self.lake, Table.RAW).to_pyarrow_dataset()
        for batch in raw.to_batches(columns=_COLUMNS, filter=chosen, **_NARROW):
            events = batch.column("events")
            rows = pa.Table.from_batches([batch.drop_columns(["events"])]).take(
                pc.list_parent_indices(events)
            )
            flat = pa.Table.from_struct_array(pc.list_flatten(events))
            for name in rows.column_names:
                flat = flat.append_column(f"record_{name}", rows[name])
            if venue is not None:
                flat = flat.filter(pc.equal(flat["venue"], venue))
            if one_of is not None:
                flat = flat.filter(pc.is_in(flat[one_of[0]], pa.array(one_of[1], pa.string())))
            for row in flat.to_pylist():
                yield ArchivedEvent(event_of(row), row["record_contract_version"])

    def _plain(
        self,
        chosen: "pyarrow.dataset.Expression",
        venue: str | None,
        one_of: tuple[str, list[str]] | None,
    ) -> Iterator[Event]:
        return (item.event for item in self._events(chosen, venue, one_of))


def _name(event: Event) -> Name:
    return event.feed, event.symbol, event.id or ""


def _newest_first(trade: Trade) -> int:
    return -trade.received_ns


def _is_settled(amendment: Amendment, seen: Mapping[Name, int], session: Session) -> bool:
    """Say whether an amendment can mean only a trade of this session; `seen` are first receipts."""
    if amendment.event_ns is not None:
        return True
    earliest = seen.get(_name(amendment))
    in_time = earliest is not None and earliest <= amendment.received_ns
    return in_time and amendment.received_ns < session.end_ns


def event_of(row: Mapping[str, Any]) -> Event:
    """Turn one event of `raw` into the domain's; `record_` columns are those of its record."""
    position = Position(
        row["record_topic"], row["record_partition"], row["record_offset"], row["index"]
    )
    conditions = row["conditions"]
    named = {name: row[name] for name in ("venue", "symbol", "id", "event_ns", "received_ns")}
    match row["kind"]:
        case "trade":
            return Trade(
                feed=row["record_feed"],
                sequence=row["sequence"],
                price=row["price"],
                size=row["size"],
                conditions=tuple(conditions or ()),
                tape=row["tape"],
                exchange=row["exchange"],
                position=position,
                **named,
            )
        case "cancel":
            return Cancel(feed=row["record_feed"], position=position, **named)
        case _:
            return Correction(
                feed=row["record_feed"],
                price=row["price"],
                size=row["size"],
                conditions=None if conditions is None else tuple(conditions),
                position=position,
                **named,
            )
