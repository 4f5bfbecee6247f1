"""Finds the sessions and symbols that new events affect.

A trade affects its own session, an amendment the session of the trade it means. Writes nothing. Of
the archive it reads only the trades that amendments without an event time may mean.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from truetape.feeds.contract import gives_new_ids
from truetape.host.errors import ConfigError
from truetape.kernel.columns import NAME
from truetape.kernel.events import amendments_in, event_of, places_of
from truetape.kernel.session_days import session_dates
from truetape.lake.events import RawEvents, received_since, with_events_since
from truetape.market.amendments import AMENDMENT_REACH, TradesMeant, name_of, renaming
from truetape.market.canonical import first_deliveries
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Correction, Event, Trade

if TYPE_CHECKING:
    import pyarrow as pa

    from truetape.lake.events import Expression

_AMENDMENTS_AT_ONCE = 50_000
"""Most amendments without an event time for whose trades the archive is read at once."""
_RECENT = timedelta(days=1)
"""Most amendments follow their trade within a day; more is read only for the others."""

EventTables: TypeAlias = "Callable[[], Iterator[pa.Table]]"
"""Yields the new events in tables, one row an event, as `lake.events.event_rows` makes them; the
same ones at each call."""
Place = tuple[str, date, str]
"""Venue, session and symbol."""


@dataclass(frozen=True, slots=True)
class Affected:
    """How many new trades and amendments affect each venue, session and symbol."""

    trades: Counter[Place] = field(default_factory=Counter)
    amendments: Counter[Place] = field(default_factory=Counter)

    @property
    def places(self) -> list[Place]:
        """Return the venues, sessions and symbols, ordered."""
        return sorted(self.trades.keys() | self.amendments.keys())


def affected_sessions(
    events: EventTables,
    archived: RawEvents,
    venues: Mapping[str, Venue],
    most: int | None = None,
) -> Affected:
    """Count the new events by the venue, session and symbol that they affect.

    `archived` may contain the new events. An event of an unknown venue has no session, so it
    affects none. Raise ConfigError for over `most` places.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    affected = Affected()
    undated: list[Amendment] = []
    known = pa.array(sorted(venues))
    for every in events():
        table = every.filter(pc.is_in(every["venue"], known))
        undated += _count_dated(table, venues, affected)
        if most is not None and len(affected.trades) + len(affected.amendments) > most:
            raise ConfigError(
                f"the missing records affect over {most:,} sessions and symbols; fill the holes in "
                "portions with --offsets"
            )
    for start in range(0, len(undated), _AMENDMENTS_AT_ONCE):
        part = undated[start : start + _AMENDMENTS_AT_ONCE]
        _count_undated(part, events, archived, venues, affected)
    return affected


def _count_dated(
    table: "pa.Table", venues: Mapping[str, Venue], affected: Affected
) -> list[Amendment]:
    """Count the events with an event time; return the others, which are amendments."""
    import pyarrow.compute as pc

    dated = table.filter(pc.field("event_ns").is_valid())
    marked = (
        dated.select(["venue", "symbol"])
        .append_column("session", session_dates(dated, venues))
        .append_column("is_trade", pc.equal(dated["kind"], "trade"))
    )
    counts = marked.group_by(marked.column_names).aggregate([([], "count_all")])
    for row in counts.to_pylist():
        counter = affected.trades if row["is_trade"] else affected.amendments
        counter[row["venue"], row["session"], row["symbol"]] += row["count_all"]
    return amendments_in(table.filter(pc.field("event_ns").is_null()))


def _count_undated(
    amendments: Sequence[Amendment],
    events: EventTables,
    archived: RawEvents,
    venues: Mapping[str, Venue],
    affected: Affected,
) -> None:
    """Count amendments without an event time by the session of the trade that they mean.

    Reads the trades received up to a day before them; those of the full reach only for amendments
    that no such trade precedes. If still no trade precedes one, it waits for a trade, and each
    session with a trade of its name counts.
    """
    earliest_ns = min(amendment.received_ns for amendment in amendments)
    recent = received_since(earliest_ns - _ns(_RECENT))
    waiting: list[Amendment] = []
    found = _trades_meant(amendments, events, archived, recent, venues)
    for amendment in amendments:
        meant = _received_before(amendment, found)
        if meant is None:
            waiting.append(amendment)
        else:
            affected.amendments[_place(meant, venues)] += 1
    if not waiting:
        return
    nearby = with_events_since(earliest_ns - _ns(AMENDMENT_REACH))
    found = _trades_meant(waiting, events, archived, nearby, venues)
    for amendment in waiting:
        meant = _received_before(amendment, found)
        trades = [meant] if meant else found.named(amendment)
        affected.amendments.update({_place(trade, venues) for trade in trades})


def _trades_meant(
    amendments: Sequence[Amendment],
    events: EventTables,
    archived: RawEvents,
    condition: "Expression",
    venues: Mapping[str, Venue],
) -> TradesMeant:
    """Find the trades that amendments mean, among the new events and the archived records that
    satisfy a condition.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = {name_of(amendment) for amendment in amendments}
    corrections: list[Correction] = []
    if any(gives_new_ids(feed) for feed, *_ in names):
        corrections = renaming(_renamings(chain(events(), archived.event_tables(condition))), names)
        names |= {name_of(correction) for correction in corrections}
    wanted = pa.table([pa.array(values) for values in zip(*sorted(names), strict=True)], list(NAME))
    trades: list[Trade] = []
    for table in chain(events(), archived.event_tables(condition)):
        found = table.filter(pc.equal(table["kind"], "trade"))
        rows = found.take(places_of(found, wanted)).to_pylist()
        trades += [trade for trade in map(event_of, rows) if isinstance(trade, Trade)]
    firsts = first_deliveries(trades, venues).values()
    return TradesMeant(firsts, [*amendments, *corrections], venues)


def _renamings(tables: "Iterator[pa.Table]") -> Iterator[Event]:
    """Yield the corrections that give their trade a new id."""
    import pyarrow.compute as pc

    for table in tables:
        yield from map(event_of, table.filter(pc.field("new_id").is_valid()).to_pylist())


def _received_before(amendment: Amendment, found: TradesMeant) -> Trade | None:
    """Return the trade that an amendment means if it was received first; no later trade can then
    change which one it means.
    """
    meant = found.of(amendment)
    return meant if meant and meant.received_ns <= amendment.received_ns else None


def _place(trade: Trade, venues: Mapping[str, Venue]) -> Place:
    return trade.venue, venues[trade.venue].date_of(trade.event_ns), trade.symbol


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * SECOND_NS
