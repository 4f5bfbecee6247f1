"""Bars of any timeframe for programs, exact from the lake: decimals, as recomputed.

Reads what recomputes wrote, also of sessions that no publication has served yet.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from truetape.history.bar_selection import BarSelection
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.timeframes import period_of, sessions_for
from truetape.host.venues import venue_named, venues
from truetape.kernel.fold import is_served
from truetape.kernel.roll_up import roll_up
from truetape.lake.delta import LakeTable, open_table
from truetape.lake.published_rows import published_revs
from truetape.lake.tables import Table
from truetape.market.timeframe import Timeframe

if TYPE_CHECKING:
    import pyarrow

MAX_PARTS = 10_000_000
"""Most stored bars of a venue and request: all are in memory, about 200 bytes each."""
_COLUMNS = (
    "symbol", "venue", "session", "start_ns", "open", "high", "low", "close", "volume",
    "notional", "priced_volume", "trades",
)  # fmt: skip


def exact_batches(
    settings: Settings, selection: BarSelection, schema: "pyarrow.Schema"
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the selected bars in the columns of `schema`, venue by venue, by symbol and start.

    A bar is final if all its sessions are in the lake as they were published; its rev is their
    highest. Raise ConfigError if no session was ever recomputed.
    """
    import pyarrow.compute as pc

    table = open_table(settings.lake, Table.BARS)
    recomputed: dict[str, list[date]] = {}
    for part in table.partitions():
        recomputed.setdefault(str(part["venue"]), []).append(
            date.fromisoformat(str(part["session"]))
        )
    for venue in sorted(recomputed):
        if venue not in venues() or selection.venue not in (None, venue):
            continue
        start, end = selection.period.of(venue_named(venue))
        days = _days(selection.timeframe, recomputed[venue], venue, start, end)
        parts = _parts(table, selection, venue, days)
        sessions = sessions_for(selection.timeframe, [(venue, day) for day in days])
        bars = roll_up(parts, selection.timeframe, sessions)
        inside = pc.and_(pc.greater_equal(bars["start_ns"], start), pc.less(bars["start_ns"], end))
        bars = bars.filter(pc.and_(inside, is_served(bars)))
        states = _States(selection.timeframe, venue, published_revs(settings.lake, venue))
        rows = _with_states(bars, states, schema)
        yield from (rows.filter(pc.field("final")) if selection.final_only else rows).to_batches()


def _days(
    timeframe: Timeframe, recomputed: Sequence[date], venue: str, start: int, end: int
) -> list[date]:
    """Return the recomputed sessions that may have parts of bars that start in a period."""
    market, day = venue_named(venue), timedelta(days=1)
    first = timeframe.dates_around(market.date_of(start))[0] - day
    last = timeframe.dates_around(market.date_of(end - 1))[1] + day
    return sorted(session for session in recomputed if first <= session <= last)


def _parts(
    table: LakeTable, selection: BarSelection, venue: str, days: Sequence[date]
) -> "pyarrow.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    sessions = sessions_for(selection.timeframe, [(venue, day) for day in days]).get(venue, [])
    source = selection.timeframe.source(sessions)
    condition = (
        (pc.field("venue") == venue)
        & pc.field("session").isin(pa.array(days, pa.date32()))
        & (pc.field("resolution") == source.value)
    )
    if selection.symbols is not None:
        condition &= pc.field("symbol").isin(pa.array(selection.symbols, pa.string()))
    parts = table.select(_COLUMNS, condition)
    if parts.num_rows > MAX_PARTS:
        raise ConfigError(
            f"{parts.num_rows:,} bars of {source.value} on {venue} are more than {MAX_PARTS:,}; "
            "choose a shorter period, or fewer symbols"
        )
    return parts


class _States:
    """Rev and finality of a bar by the dates of its parts."""

    def __init__(self, timeframe: Timeframe, venue: str, revs: Mapping[date, int]) -> None:
        self._timeframe = timeframe
        self._venue = venue
        self._revs = revs

    def of(self, dates: str) -> tuple[int, bool]:
        days = [date.fromisoformat(text) for text in dates.split(",")]
        needed = set(days)
        if self._timeframe.width_ns is None:
            needed |= {day.date for day in period_of(self._timeframe, self._venue, days[0])}
        revs = [self._revs.get(day, 0) for day in needed]
        return max(revs), min(revs) > 0


def _with_states(
    bars: "pyarrow.Table", states: _States, schema: "pyarrow.Schema"
) -> "pyarrow.Table":
    import pyarrow as pa

    encoded = bars["sessions"].combine_chunks().dictionary_encode()
    by_dates = [states.of(str(dates)) for dates in encoded.dictionary.to_pylist()]
    state = {
        "rev": pa.array([rev for rev, _ in by_dates], pa.int32()).take(encoded.indices),
        "final": pa.array([final for _, final in by_dates], pa.bool_()).take(encoded.indices),
        "layer": pa.repeat(pa.scalar("batch"), bars.num_rows),
        "start": bars["start_ns"].cast(pa.timestamp("ns", "UTC")),
    }
    columns = [
        state[field.name] if field.name in state else bars[field.name].cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
