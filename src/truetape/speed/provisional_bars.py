"""What the speed layer serves of its bars: doubles, neither final nor void, before publication."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truetape.kernel.session_days import session_starts
from truetape.market.resolution import Resolution
from truetape.market.sessions import Venue
from truetape.serving import bar_table


def provisional(bars: pa.Table, resolution: Resolution, venues: Mapping[str, Venue]) -> pa.Table:
    """Return bars of one resolution, `speed.state.CHANGED`, as `serving.bar_table.SCHEMA`."""
    if not bars.num_rows:
        return bar_table.NO_BARS
    places = pa.array(ordinals(bars, resolution, venues))
    return bar_table.unpublished(bars.append_column("seq", places), "speed")


def ordinals(
    bars: pa.Table, resolution: Resolution, venues: Mapping[str, Venue]
) -> NDArray[np.int64]:
    """Return each bar's ordinal in its session: how many widths after the session began."""
    starts_ns = bars["start_ns"].to_numpy()
    since_ns = starts_ns - session_starts(bars["venue"], starts_ns, venues)
    result: NDArray[np.int64] = since_ns // resolution.width_ns
    return result
