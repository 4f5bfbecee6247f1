"""Changes: what amendments do to the trades that they concern, by the reference."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.events import concerned, event_of, places_of
from truetape.market.canonical import Changes, canonical
from truetape.market.sessions import Venue


def changes(deliveries: pa.Table, venues: Mapping[str, Venue], as_of_ns: int | None) -> Changes:
    """Return what the amendments among `DELIVERIES` do to the trades there, as of an instant."""
    amendments = deliveries.filter(pc.field("kind") != "trade")
    names = concerned(amendments)
    named = deliveries.take(places_of(deliveries, names)) if names.num_rows else amendments
    return canonical(map(event_of, named.to_pylist()), venues, as_of_ns).changes
