"""Events as the rows that the kernel settles."""

from collections.abc import Iterable

import pyarrow as pa

from support.market import EVENT_COLUMNS, event_row
from truetape.kernel.columns import DELIVERIES
from truetape.market.trades import Cancel, Event, notional


def deliveries_of(happened: Iterable[Event]) -> pa.Table:
    """Return one row an event."""
    return pa.Table.from_pylist([_row(event) for event in happened], DELIVERIES)


def _row(event: Event) -> dict[str, object]:
    row = dict(zip(EVENT_COLUMNS, event_row(event), strict=True))
    if not isinstance(event, Cancel):
        row["notional"] = notional(event.price, event.size)
    return row
