"""What a recompute needs and what it reports, on either engine."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from truetape.lake.contract_versions import DecodedBy
from truetape.lake.deliveries import SessionDeliveries
from truetape.market.bars import Bar
from truetape.market.eligibility import Profile
from truetape.market.sessions import Session, Venue

if TYPE_CHECKING:
    import pyarrow as pa

Result = TypeVar("Result")
Compute = Callable[["pa.Table"], Result]
"""A function of the deliveries of some symbols, with the columns of `kernel.columns.DELIVERIES`."""


class Engine(Protocol):
    """Divides a session's deliveries by symbol and calls a function on each part."""

    def __call__(self, deliveries: SessionDeliveries, compute: Compute[Result]) -> Iterator[Result]:
        """Yield the results, in no particular order. Function and results can be pickled."""


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
    """How many trades have a condition that the profile does not know. They do not count."""
    unknown_codes: Mapping[str, int]
    """How many trades have each of these codes."""
    bars: Mapping[str, int]
    contracts: tuple[DecodedBy, ...] = ()
    """The versions of the contracts that decoded the session's records, by feed."""


@dataclass(frozen=True, slots=True)
class AsOfSession:
    """A session's counts and bars as known at an instant."""

    counts: Recomputed
    bars: Callable[[], Iterator[Bar]]
    """Yields the bars that would have been served, by symbol, resolution and start."""
