"""Publishes the indicators of a session's bars, after the bars themselves are final.

Computes no values: `publish.indicator_values` does. An average reaches back into earlier sessions
(nights do not count), over at most `WARM_UP_BARS` bars, so the cost of a session does not grow with
history.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from truetape.host import calendars
from truetape.lake.delta import open_table
from truetape.lake.tables import Table
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session, Venue
from truetape.publish.indicator_values import IndicatorInput, indicators
from truetape.publish.superseded import append_indicators, read_superseded, rows_as_of
from truetape.serving import indicator_table
from truetape.serving.store import BarStore, IndicatorRow

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
        served = indicator_table.table_of(_read(store, session, resolution))
        old = rows_as_of(served, superseded[resolution], restored)
        target = [replace(row, rev=rev) for row in indicator_table.rows_of(old) if not row.void]
        written += _write_differences(lake, store, session, resolution, target=target, rev=rev)
    return written


def _write_differences(
    lake: str,
    store: BarStore,
    session: Session,
    resolution: Resolution,
    *,
    target: Iterable[IndicatorRow],
    rev: int,
) -> int:
    """Make the served rows of a resolution equal `target`; first append the rows that this replaces
    to the superseded ones.
    """
    served = {row.key: row for row in _read(store, session, resolution)}
    rows = list(target)
    changed = [row for row in rows if not _is_served(row, served.get(row.key))]
    gone = served.keys() - {row.key for row in rows}
    changed += [
        IndicatorRow(row.symbol, row.venue, row.start_ns, {}, rev, void=True)
        for row in (served[key] for key in gone)
        if not row.void
    ]
    if not changed:
        return 0
    replaced = [served[row.key] for row in changed if row.key in served]
    append_indicators(lake, session, resolution, indicator_table.table_of(replaced))
    report = store.write_indicators(resolution, changed)
    report.require_stored(f"{resolution.value} indicator rows")
    return report.stored


def _read(store: BarStore, session: Session, resolution: Resolution) -> Iterator[IndicatorRow]:
    return store.read_indicators(resolution, session.start_ns, session.end_ns, venue=session.venue)


def _rows(
    lake: str, venue: Venue, session: Session, resolution: Resolution, rev: int
) -> Iterator[IndicatorRow]:
    for symbol, bars in _bars(lake, venue, session, resolution):
        for values in indicators(_inputs(bars, venue)):
            start_ns = values.start_ns
            if start_ns >= session.start_ns:
                yield IndicatorRow(symbol, venue.code, start_ns, values.values, rev, void=False)


def _inputs(bars: Sequence[Mapping[str, Any]], venue: Venue) -> list[IndicatorInput]:
    starts = {
        day: calendars.session(venue, day).start_ns for day in {bar["session"] for bar in bars}
    }
    return [
        IndicatorInput(
            start_ns=bar["start_ns"],
            session_ns=starts[bar["session"]],
            close=float(bar["close"]),
            volume=float(bar["priced_volume"]),
            vwap=float(bar["vwap"] or 0),
        )
        for bar in bars
    ]


def _bars(
    lake: str, venue: Venue, session: Session, resolution: Resolution
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each symbol with its served bars of the session and up to `WARM_UP_BARS` before."""
    import pyarrow.compute as pc

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
    counts = ordered.group_by("symbol", use_threads=False).aggregate([([], "count_all")])
    at = 0
    for symbol, count in zip(*(column.to_pylist() for column in counts.columns), strict=True):
        rows = ordered.slice(at, count)
        before = pc.sum(pc.less(rows.column("start_ns"), session.start_ns)).as_py()
        yield symbol, rows.slice(max(0, before - WARM_UP_BARS)).to_pylist()
        at += count


def _is_served(row: IndicatorRow, served: IndicatorRow | None) -> bool:
    return served is not None and not served.void and dict(served.values) == dict(row.values)
