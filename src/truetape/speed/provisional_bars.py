"""What the speed layer serves of its bars: doubles, neither final nor void, before publication."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truetape.market.resolution import Resolution
from truetape.market.sessions import Venue
from truetape.serving import bar_table

_HOUR_NS = 3_600_000_000_000


def provisional(bars: pa.Table, resolution: Resolution, venues: Mapping[str, Venue]) -> pa.Table:
    """Return bars of one resolution, `speed.state.CHANGED`, as `serving.bar_table.SCHEMA`."""
    if not bars.num_rows:
        return bar_table.NO_BARS
    places = pa.array(ordinals(bars, resolution, venues))
    return bar_table.unpublished(bars.append_column("seq", places), "speed")


def ordinals(
    bars: pa.Table, resolution: Resolution, venues: Mapping[str, Venue]
) -> NDArray[np.int64]:
    """Return each bar's ordinal in its trading day: how many widths after its venue's midnight."""
    starts_ns = bars["start_ns"].to_numpy()
    hours_ns = starts_ns - starts_ns % _HOUR_NS
    codes = bars["venue"].combine_chunks().dictionary_encode()
    midnights_ns = np.empty_like(starts_ns)
    for place, code in enumerate(codes.dictionary.to_pylist()):
        venue, is_own = venues[str(code)], codes.indices.to_numpy() == place
        for hour_ns in np.unique(hours_ns[is_own]).tolist():
            midnights_ns[is_own & (hours_ns == hour_ns)] = _midnight(venue, hour_ns)
    result: NDArray[np.int64] = (starts_ns - midnights_ns) // resolution.width_ns
    return result


@lru_cache(maxsize=4_096)
def _midnight(venue: Venue, hour_ns: int) -> int:
    return venue.midnight_ns(venue.date_of(hour_ns))
