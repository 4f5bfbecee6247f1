"""Recompute in this process, on the kernel; the same tables as `batch.spark.recompute` writes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from truetape.batch.recompute import Recomputed, RecomputeRules
from truetape.kernel.fold import session_bars
from truetape.kernel.judge import judge
from truetape.kernel.settle import settle
from truetape.lake import bars_lineage
from truetape.lake.deliveries import session_deliveries
from truetape.lake.delta import open_table, replace_table
from truetape.lake.events import RawEvents
from truetape.lake.schemas import BARS, TRADES
from truetape.lake.tables import Table, quoted, session_filters, session_where
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow

    from truetape.kernel.columns import Column


def recompute(
    lake: str, session: Session, rules: RecomputeRules, symbols: Iterable[str] | None = None
) -> Recomputed:
    """Recompute a session's rows of `trades` and `bars` from the newest `raw`, and replace them.

    `symbols` restricts it to these: no bar depends on a trade of another symbol. Events that are
    archived for the session after `raw` was read are marked dirty.
    """
    names = None if symbols is None else tuple(sorted(set(symbols)))
    bars_lineage.watch(lake, session)
    raw = bars_lineage.current_raw(lake)
    where = session_where(session)
    if names is not None:
        where += f" AND symbol IN ({', '.join(map(quoted, names))})"
    trades = flagged(RawEvents(lake, raw[1]), session, rules, names)
    replace_table(lake, Table.TRADES, trades.select(TRADES.names).cast(TRADES), where)
    replace_table(lake, Table.BARS, bars_of(trades, session, rules), where)
    bars_lineage.record_basis(lake, session, raw, names)
    return _summary(lake, session)


def flagged(
    raw: RawEvents,
    session: Session,
    rules: RecomputeRules,
    symbols: tuple[str, ...] | None = None,
    as_of_ns: int | None = None,
) -> "pyarrow.Table":
    """Return a session's deliveries, settled and judged, with the columns of `trades` and more."""
    import pyarrow.compute as pc

    deliveries = session_deliveries(raw, session, symbols, as_of_ns)
    trades = judge(settle(deliveries, rules.venues, day=session.date), rules.profile)
    waited_ns = pc.subtract(trades["received_ns"], trades["event_ns"])
    return trades.append_column("late", pc.greater(waited_ns, rules.lateness_ns)).append_column(
        "in_day", _in_day(trades, session)
    )


def bars_of(trades: "pyarrow.Table", session: Session, rules: RecomputeRules) -> "pyarrow.Table":
    """Return the rows of `bars` for a session's flagged trades, in all five resolutions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bars = session_bars(trades, session)
    served = pc.is_valid(bars["open"])
    for price in ("high", "low", "close"):
        served = pc.and_(served, pc.is_valid(bars[price]))
    constants = {
        "venue": session.venue,
        "session": session.date,
        "profile": rules.profile.id,
        "profile_version": rules.profile.version,
    }
    columns = {name: bars[name] for name in bars.column_names} | {"served": served}
    columns |= {
        name: pa.repeat(pa.scalar(value, BARS.field(name).type), bars.num_rows)
        for name, value in constants.items()
    }
    return pa.table({name: columns[name] for name in BARS.names}).cast(BARS)


def _in_day(trades: "pyarrow.Table", session: Session) -> "Column":
    """True if a print belongs to the daily bar: in the regular session, or an auction print."""
    import pyarrow.compute as pc

    if session.open_ns is None or session.close_ns is None:
        closed: Column = pc.and_(trades["auction"], False)
        return closed
    times = trades["event_ns"]
    regular = pc.and_(pc.greater_equal(times, session.open_ns), pc.less(times, session.close_ns))
    in_day: Column = pc.or_(regular, trades["auction"])
    return in_day


def _summary(lake: str, session: Session) -> Recomputed:
    """Count a session's trades and served bars in the lake."""
    import pyarrow.compute as pc

    columns = ["duplicate", "cancelled", "corrected", "known"]
    trades = open_table(lake, Table.TRADES).rows(session_filters(session), columns)
    bars = open_table(lake, Table.BARS).rows(session_filters(session), ["resolution", "served"])
    served = bars.filter(pc.field("served"))["resolution"].combine_chunks()
    duplicates, cancelled, corrected, known = (
        int(pc.sum(trades[column]).as_py() or 0) for column in columns
    )
    by_resolution = {row["values"]: row["counts"] for row in pc.value_counts(served).to_pylist()}
    unknown = trades.num_rows - known
    return Recomputed(
        session, trades.num_rows, duplicates, cancelled, corrected, unknown, by_resolution
    )
