"""Publishes the indicators of a session's bars, after the bars themselves are final.

Computes no values: `publish.indicator_values` does. An average reaches back into earlier sessions
(nights do not count), over at most `WARM_UP_BARS` bars, so the cost of a session does not grow with
history.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.host import calendars
from truetape.kernel.doubles import doubles
from truetape.lake.delta import open_table
from truetape.lake.tables import Table
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session, Venue
from truetape.publish.indicator_values import IndicatorInput, indicators
from truetape.publish.superseded import append_indicators, read_superseded, rows_as_of
from truetape.serving.indicator_table import SCHEMA, concat
from truetape.serving.row_keys import KEY, matches, same_rows
from truetape.serving.schema import INDICATOR_NAMES
from truetape.serving.store import BarStore

WARM_UP_BARS = 250
"""Bars before the session that an average may use: the seed of the slowest EMA then weighs less
than one part in ten million.
"""

LOOK_BACK: Mapping[Resolution, timedelta] = {
    Resolution.MINUTE: timedelta(days=7),
    Resolution.FIVE_MINUTES: timedelta(days=14),
    Resolution.HOUR: timedelta(days=60),
    Resolution.DAY: timedelta(days=400),
}
"""How many calendar days back the warm-up bars are read."""

_COLUMNS = ["symbol", "start_ns", "session", "close", "priced_volume", "vwap"]


def publish_indicators(lake: str, store: BarStore, venue: Venue, session: Session, rev: int) -> int:
    """Write the indicator rows that differ from the served ones; return how many were written.

    Safe to repeat: a second run writes nothing. Raise VerificationError if a row is refused.
    """
    return sum(
        _write_differences(lake, store, session, resolution, target=target, rev=rev)
        for resolution in LOOK_BACK
        for target in [_rows(lake, venue, session, resolution, rev)]
    )


def restore_indicators(
    lake: str, store: BarStore, session: Session, restored: int, rev: int
) -> int:
    """Write the indicator rows of rev `restored` again, as rev `rev`; return how many differed."""
    superseded = read_superseded(lake, session).indicators
    written = 0
    for resolution in LOOK_BACK:
        served = _read(store, session, resolution)
        old = rows_as_of(served, superseded[resolution], restored)
        target = _with_rev(old.filter(pc.invert(old.column("void"))), rev)
        written += _write_differences(lake, store, session, resolution, target=target, rev=rev)
    return written


def _write_differences(
    lake: str,
    store: BarStore,
    session: Session,
    resolution: Resolution,
    *,
    target: pa.Table,
    rev: int,
) -> int:
    """Make the served rows of a resolution equal `target`; first append the rows that this replaces
    to the superseded ones.
    """
    served = _read(store, session, resolution)
    places = matches(target, served)
    before = served.take(places)
    is_changed = pc.invert(same_rows(target, before, but=("rev",)))  # a void row is changed, too
    gone = served.filter(
        pc.and_(pc.is_null(matches(served, target)), pc.invert(served.column("void")))
    )
    changed = concat([target.filter(is_changed), _voided(gone, rev)])
    if not len(changed):
        return 0
    replaced = concat([served.take(places.filter(is_changed).drop_null()), gone])
    append_indicators(lake, session, resolution, replaced)
    report = store.write_indicators(resolution, changed)
    report.require_stored(f"{resolution.value} indicator rows")
    return report.stored


def _read(store: BarStore, session: Session, resolution: Resolution) -> pa.Table:
    window = session.start_ns, session.end_ns
    return store.read_indicator_table(resolution, *window, venue=session.venue)


def _with_rev(rows: pa.Table, rev: int) -> pa.Table:
    place = SCHEMA.names.index("rev")
    return rows.set_column(place, SCHEMA.field(place), pa.array(np.full(len(rows), rev)))


def _voided(rows: pa.Table, rev: int) -> pa.Table:
    """Return the void rows, without values, that replace rows whose bars are gone."""
    columns: dict[str, Any] = {name: rows.column(name) for name in KEY}
    columns |= {"void": pa.repeat(True, len(rows)), "rev": pa.array(np.full(len(rows), rev))}
    nothing = pa.nulls(len(rows), pa.float64())
    return pa.table({name: columns.get(name, nothing) for name in SCHEMA.names}, schema=SCHEMA)


def _rows(lake: str, venue: Venue, session: Session, resolution: Resolution, rev: int) -> pa.Table:
    """Return the indicator rows of the session's served bars."""
    parts = []
    for symbol, bars in _bars(lake, venue, session, resolution):
        columns = _input(bars, venue)
        values = indicators(columns)
        first = int(np.searchsorted(columns.start_ns, session.start_ns))
        count = len(bars) - first
        names: dict[str, object] = {
            "symbol": pa.repeat(symbol, count),
            "venue": pa.repeat(venue.code, count),
            "start_ns": columns.start_ns[first:],
            "rev": np.full(count, rev),
            "void": np.full(count, fill_value=False),
        }
        numbers = {
            name: pa.array(values[name][first:], from_pandas=True) for name in INDICATOR_NAMES
        }
        parts.append(pa.table(names | numbers, schema=SCHEMA))
    return concat(parts)


def _input(bars: pa.Table, venue: Venue) -> IndicatorInput:
    sessions = bars.column("session").combine_chunks().dictionary_encode()
    days = [day for day in sessions.dictionary.to_pylist() if day is not None]
    starts = [calendars.session(venue, day).start_ns for day in days]
    return IndicatorInput(
        start_ns=bars.column("start_ns").to_numpy(),
        session_ns=np.array(starts)[sessions.indices.to_numpy()],
        close=doubles(bars.column("close")).to_numpy(),
        volume=doubles(bars.column("priced_volume")).to_numpy(),
        vwap=doubles(bars.column("vwap")).to_numpy(),
    )


def _bars(
    lake: str, venue: Venue, session: Session, resolution: Resolution
) -> Iterator[tuple[str, pa.Table]]:
    """Yield each symbol with its served bars of the session and up to `WARM_UP_BARS` before."""
    first = session.date - LOOK_BACK[resolution]
    filters = [
        ("venue", "=", venue.code),
        ("session", ">=", first),
        ("session", "<=", session.date),
        ("resolution", "=", resolution.value),
    ]
    table = open_table(lake, Table.BARS).rows(filters, [*_COLUMNS, "served"])
    # not a Delta filter: Spark writes no bounds for a boolean, and delta-rs reads that as no rows
    table = table.filter(table.column("served")).drop_columns(["served"])
    ordered = table.sort_by([("symbol", "ascending"), ("start_ns", "ascending")])
    groups = ordered.group_by("symbol", use_threads=False).aggregate([([], "count_all")])
    counts = groups.sort_by("symbol")  # groups come in no order
    at = 0
    for symbol, count in zip(*(column.to_pylist() for column in counts.columns), strict=True):
        rows = ordered.slice(at, count)
        before = pc.sum(pc.less(rows.column("start_ns"), session.start_ns)).as_py()
        yield symbol, rows.slice(max(0, before - WARM_UP_BARS)).combine_chunks()
        at += count
