"""Session days: the session of each instant of a column, by the starts of its venue's sessions."""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truetape.kernel.columns import Array, Column
from truetape.market.sessions import Venue

Numbers = NDArray[np.int64]

_EPOCH = date(1970, 1, 1)


def session_dates(trades: pa.Table, venues: Mapping[str, Venue]) -> Array:
    """Return the session date of each trade, as `Venue.date_of` does."""
    days, _ = _sessions(trades["venue"], trades["event_ns"].to_numpy(), venues)
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def session_starts(codes: Column, instants_ns: Numbers, venues: Mapping[str, Venue]) -> Numbers:
    """Return when the session of each instant began, at the venue of its code."""
    return _sessions(codes, instants_ns, venues)[1]


def _sessions(
    codes: Column, instants_ns: Numbers, venues: Mapping[str, Venue]
) -> tuple[Numbers, Numbers]:
    """Return the date of each instant's session, in days since 1970, and its start."""
    encoded = codes.combine_chunks().dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()  # type: ignore[assignment]  # never null
    places = encoded.indices.to_numpy()
    days, starts_ns = np.zeros_like(instants_ns), np.zeros_like(instants_ns)
    for place, name in enumerate(names):
        own = places == place
        if not own.any():  # a dictionary may have names that no row has
            continue
        days[own], starts_ns[own] = _sessions_at(instants_ns[own], venues[name])
    return days, starts_ns


def _sessions_at(instants_ns: Numbers, venue: Venue) -> tuple[Numbers, Numbers]:
    first, last = (venue.date_of(int(bound)) for bound in (instants_ns.min(), instants_ns.max()))
    count = (last - first).days + 1
    starts_ns = np.array([venue.session_start_ns(first + timedelta(days=n)) for n in range(count)])
    places = np.searchsorted(starts_ns, instants_ns, side="right") - 1
    return (first - _EPOCH).days + places, starts_ns[places]
