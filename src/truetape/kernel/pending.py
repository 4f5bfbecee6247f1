"""Pending amendments: how many of them found no trade, by the reference."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.events import event_of, names_of, places_of
from truetape.market.canonical import canonical
from truetape.market.sessions import Venue


def pending(deliveries: pa.Table, venues: Mapping[str, Venue], as_of_ns: int | None) -> int:
    """Return how many amendments among `DELIVERIES` that were received by `as_of_ns` have no trade
    there.
    """
    amendments = deliveries.filter(pc.field("kind") != "trade")
    if amendments.num_rows == 0:
        return 0
    named = deliveries.take(places_of(deliveries, names_of(amendments)))
    return len(canonical(map(event_of, named.to_pylist()), venues, as_of_ns).pending)
