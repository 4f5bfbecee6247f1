"""Tick, volume and dollar bars for programs, exact from the trades of the lake.

Decides nothing: `kernel.amount_bars` has the rule.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from truetape.history.bar_columns import bar_schema
from truetape.history.trades import TradeSelection, session_tables
from truetape.host.settings import Settings
from truetape.host.venues import venue_named
from truetape.kernel.amount_bars import amount_bars
from truetape.kernel.doubles import doubles
from truetape.kernel.fold import is_served
from truetape.lake.published_rows import published_revs
from truetape.market.amount_bars import Amount
from truetape.serving.store import BAR_NUMBERS

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = (
    "symbol", "venue", "session", "event_ns", "price", "size", "notional", "duplicate",
    "cancelled", "open_close", "high_low", "counts",
)  # fmt: skip


def amount_bar_batches(
    settings: Settings, selection: TradeSelection, amount: Amount, *, exact: bool = False
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the bars that start in the period as Arrow batches, one session at a time.

    They are final, with its rev, if the newest publication of their session was of these trades;
    see `lake.published_rows`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = bar_schema(exact=exact, with_end=True)
    revs: dict[str, Mapping[date, int]] = {}
    for trades in session_tables(settings, selection, _COLUMNS, whole=True):
        if not trades.num_rows:
            continue
        first = trades.slice(0, 1).to_pylist()[0]
        start, end = selection.period.of(venue_named(first["venue"]))
        bars = amount_bars(trades, amount)
        inside = pc.and_(pc.greater_equal(bars["start_ns"], start), pc.less(bars["start_ns"], end))
        bars = bars.filter(pc.and_(inside, is_served(bars)))
        venue, day = first["venue"], first["session"]
        if venue not in revs:
            revs[venue] = published_revs(settings.lake, venue)
        rev = revs[venue].get(day, 0)
        states: dict[str, Any] = {"layer": "batch", "final": rev > 0, "rev": rev}
        columns = [
            pa.repeat(pa.scalar(states[field.name], field.type), bars.num_rows)
            if field.name in states
            else _column(bars, field)
            for field in schema
        ]
        yield from pa.table(columns, schema=schema).to_batches()


def _column(bars: "pyarrow.Table", field: "pyarrow.Field[Any]") -> Any:
    import pyarrow

    if field.name in BAR_NUMBERS and pyarrow.types.is_floating(field.type):
        return doubles(bars[field.name])
    stored = {"start": "start_ns", "end": "end_ns"}.get(field.name, field.name)
    return bars[stored].cast(field.type)
