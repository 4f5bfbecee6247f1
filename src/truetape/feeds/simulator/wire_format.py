"""What a feed's wire format can express, and what the formats share. Formats no feed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from truetape.feeds.simulator.market import SECOND, SimulatedPrint

MICROSECOND, MILLISECOND = 1_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Correct:
    """New values of a print. Its conditions stay."""

    price: str
    size: str


Encode = Callable[[SimulatedPrint, int, str], str]
"""Returns the text of one record from print, receipt time and venue."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a feed can express; anything else is left out of its session.

    `venue` is the bar's market, None if the plan chooses it. `grid_ns` is the finest time of the
    feed. Without `ids` there are no duplicates, since nobody could recognise them; without `cancel`
    and `correct` there are no amendments. A feed with `conditions` has tape and reporting exchange
    too; with `recodes` its corrections repeat the conditions. `id_of` returns the id that the
    feed's contract builds, `new_id_of` the one that a correction gives. `exchange` is the only
    exchange of a feed without conditions. `frame` wraps up to `most` records of one symbol into a
    payload. Without `names_symbol` the symbol comes beside the payload.
    """

    feed: str
    venue: str | None
    equity: bool
    grid_ns: int
    trade: Encode
    cancel: Encode | None = None
    correct: Callable[[SimulatedPrint, Correct, int, str], str] | None = None
    ids: bool = True
    sequence: bool = False
    conditions: bool = False
    recodes: bool = False
    id_of: Callable[[SimulatedPrint], str] = lambda item: str(item.number)
    new_id_of: Callable[[SimulatedPrint], str | None] = lambda _: None
    exchange: str | None = None
    frame: Callable[[list[str], str], str] | None = None
    most: int = 1
    names_symbol: bool = True


@lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(instant: int, digits: int = 9) -> str:
    """Return ISO 8601 in UTC with a fixed number of decimals."""
    second, fraction = divmod(instant, SECOND)
    return f"{_second(second)}.{f'{fraction:09d}'[:digits]}Z"


def tape_of(venue: str) -> str:
    """Return the tape that a venue's listings are on."""
    return {"XNAS": "C", "ARCX": "B", "BATS": "B", "XASE": "B"}.get(venue, "A")


def array(records: list[str], _symbol: str) -> str:
    """Return records as a JSON array."""
    return "[" + ",".join(records) + "]"
