"""Tick, volume and dollar bars for programs, exact from the trades of the lake.

Decides nothing: `kernel.amount_bars` has the rule.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from truetape.history.trades import TradeSelection, session_tables
from truetape.host.settings import Settings
from truetape.host.timeframes import session_on
from truetape.host.venues import venue_named
from truetape.kernel.amount_bars import amount_bars
from truetape.kernel.doubles import doubles
from truetape.kernel.fold import is_served
from truetape.lake.bars_lineage import recompute_bases
from truetape.lake.publications import publications
from truetape.market.amount_bars import Amount
from truetape.serving.store import BAR_NUMBERS

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = (
    "symbol", "venue", "session", "event_ns", "price", "size", "notional", "duplicate",
    "cancelled", "open_close", "high_low", "counts",
)  # fmt: skip


def amount_bar_schema() -> "pyarrow.Schema":
    """Return the columns of bars by amount for programs."""
    import pyarrow as pa

    columns: list[tuple[str, pa.DataType]] = [
        ("start", pa.timestamp("ns", "UTC")),
        ("end", pa.timestamp("ns", "UTC")),
        ("symbol", pa.string()),
        ("venue", pa.string()),
        ("session", pa.date32()),
        ("seq", pa.int32()),
        *((name, pa.float64()) for name in BAR_NUMBERS),
        ("trades", pa.int64()),
        ("layer", pa.string()),
        ("final", pa.bool_()),
        ("rev", pa.int32()),
    ]
    return pa.schema(columns)


def amount_bar_batches(
    settings: Settings, selection: TradeSelection, amount: Amount
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the bars that start in the period as Arrow batches, one session at a time.

    They are final, with its rev, if the newest publication of their session was of these trades.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = amount_bar_schema()
    for trades in session_tables(settings, selection, _COLUMNS, whole=True):
        if not trades.num_rows:
            continue
        first = trades.slice(0, 1).to_pylist()[0]
        start, end = selection.period.of(venue_named(first["venue"]))
        bars = amount_bars(trades, amount)
        inside = pc.and_(pc.greater_equal(bars["start_ns"], start), pc.less(bars["start_ns"], end))
        bars = bars.filter(pc.and_(inside, is_served(bars)))
        rev = _rev_of(settings, first["venue"], first["session"])
        states: dict[str, Any] = {"layer": "batch", "final": rev > 0, "rev": rev}
        columns = [
            pa.repeat(pa.scalar(states[field.name], field.type), bars.num_rows)
            if field.name in states
            else _column(bars, field)
            for field in schema
        ]
        yield from pa.table(columns, schema=schema).to_batches()


def _column(bars: "pyarrow.Table", field: "pyarrow.Field[Any]") -> Any:
    if field.name in BAR_NUMBERS:
        return doubles(bars[field.name])
    stored = {"start": "start_ns", "end": "end_ns"}.get(field.name, field.name)
    return bars[stored].cast(field.type)


def _rev_of(settings: Settings, venue: str, day: date) -> int:
    """Return the rev of the publication that these trades were published with, 0 if there is none.

    A recompute after it, and a revert, have changed what is served or what the lake has.
    """
    session = session_on(venue, day)
    past, bases = publications(settings.lake, session), recompute_bases(settings.lake, session)
    if not past or past[-1].restores or not bases:
        return 0
    return past[-1].rev if bases[-1].bars_version <= past[-1].bars_version else 0
