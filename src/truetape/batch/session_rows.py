"""Makes the rows of `trades` and `bars` from a session's deliveries, on the kernel.

Both engines call it, with all deliveries of a symbol in one table. Reads and writes nothing.
"""

import pyarrow as pa
import pyarrow.compute as pc

from truetape.batch.recompute import RecomputeRules
from truetape.kernel.fold import in_day, is_served, session_bars
from truetape.kernel.judge import judge
from truetape.kernel.settle import settle
from truetape.lake.schemas import BARS, TRADES
from truetape.market.sessions import Session


def trade_rows(deliveries: pa.Table, session: Session, rules: RecomputeRules) -> pa.Table:
    """Return the rows of `trades` for rows with the columns of `kernel.columns.DELIVERIES`."""
    trades = judge(settle(deliveries, rules.venues, day=session.date), rules.profile)
    waited_ns = pc.subtract(trades["received_ns"], trades["event_ns"])
    flagged = trades.append_column("late", pc.greater(waited_ns, rules.lateness_ns))
    flagged = flagged.append_column("in_day", in_day(flagged, session))
    return flagged.select(TRADES.names).cast(TRADES)


def bar_rows(trades: pa.Table, session: Session, rules: RecomputeRules) -> pa.Table:
    """Return the rows of `bars` in all five resolutions for the rows of `trade_rows`."""
    bars = session_bars(trades, session)
    constants = {
        "venue": session.venue,
        "session": session.date,
        "profile": rules.profile.id,
        "profile_version": rules.profile.version,
    }
    columns = {name: bars[name] for name in bars.column_names} | {"served": is_served(bars)}
    columns |= {
        name: pa.repeat(pa.scalar(value, BARS.field(name).type), bars.num_rows)
        for name, value in constants.items()
    }
    return pa.table({name: columns[name] for name in BARS.names}).cast(BARS)
