"""Events as the rows that the kernel settles."""

from collections.abc import Iterable

import pyarrow as pa

from truetape.kernel.columns import DELIVERIES
from truetape.kernel.events import row_of
from truetape.market.trades import Event


def deliveries_of(happened: Iterable[Event]) -> pa.Table:
    """Return one row an event."""
    return pa.Table.from_pylist([row_of(event) for event in happened], DELIVERIES)
