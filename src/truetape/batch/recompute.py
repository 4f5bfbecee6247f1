"""What a recompute needs and what it reports, on either engine."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from truetape.lake.contract_versions import DecodedBy
from truetape.market.bars import Bar
from truetape.market.eligibility import Profile
from truetape.market.sessions import Session, Venue


@dataclass(frozen=True, slots=True)
class RecomputeRules:
    """The rules of a recompute. `lateness_ns` only flags late trades; nothing is dropped."""

    profile: Profile
    venues: Mapping[str, Venue]
    lateness_ns: int


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Counts of the rows that a recompute wrote."""

    session: Session
    trades: int
    duplicates: int
    cancelled: int
    corrected: int
    unknown_conditions: int
    bars: Mapping[str, int]
    contracts: tuple[DecodedBy, ...] = ()
    """The versions of the contracts that decoded the session's records, by feed."""


@dataclass(frozen=True, slots=True)
class AsOfSession:
    """A session's counts and bars as known at an instant."""

    counts: Recomputed
    bars: Callable[[], Iterator[Bar]]
    """Yields the bars that would have been served, by symbol, resolution and start."""
