"""Acceptance: compare served bars with an independent vendor's, which are evidence, not truth.

Reads nothing: takes the bars of both sides, and returns the differences with their reasons.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from truetape.feeds.vendor_bars import VendorBar
from truetape.serving.store import ServedBar

_VENDOR_VWAP_STEP = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one bar that differs; None for a side without that bar."""

    start_ns: int
    field: str
    served: Decimal | None
    vendor: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many bars were compared, and every field that differs."""

    compared: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> int:
        """Return how many bars are equal in every field."""
        return self.compared - len({difference.start_ns for difference in self.differences})

    @property
    def share(self) -> float:
        """Return the share of equal bars, 0 to 1."""
        return self.equal / self.compared if self.compared else 0.0


@dataclass(frozen=True, slots=True)
class TapePrint:
    """A trade as evidence for a difference: its time, size and condition codes."""

    event_ns: int
    size: Decimal
    conditions: tuple[str, ...]


def compare(
    served: Iterable[ServedBar],
    vendor: Iterable[VendorBar],
    span: tuple[int, int],
    carried: Mapping[int, Decimal],
) -> Agreement:
    """Compare the bars that start in `span`. `carried` is the volume of bars without any eligible
    price, by start: this vendor books it into the bar before."""
    ours = {bar.start_ns: bar for bar in served if not bar.void}
    volumes = _carry(ours, carried)
    theirs = {bar.start_ns: bar for bar in vendor if span[0] <= bar.start_ns < span[1]}
    starts = sorted(theirs.keys() | {start for start in ours if span[0] <= start < span[1]})
    differences: list[Difference] = []
    for start in starts:
        differences += _differences(
            start, ours.get(start), theirs.get(start), volumes.get(start, Decimal(0))
        )
    return Agreement(len(starts), tuple(differences))


def reason_of(difference: Difference, prints: Sequence[TapePrint], width_ns: int) -> str:
    """Name the single print that explains a difference in volume, or report that none does."""
    if difference.field != "volume" or difference.served is None or difference.vendor is None:
        return difference.reason
    excess = difference.served - difference.vendor
    start, end = difference.start_ns, difference.start_ns + width_ns
    inside = [item for item in prints if start <= item.event_ns < end]
    if any(item.size == excess for item in inside):
        item = next(item for item in inside if item.size == excess)
        codes = " ".join(item.conditions) or "none"
        return f"the vendor lacks one print of {excess} (conditions {codes})"
    if excess < 0 and any(item.size == -excess for item in prints):
        return f"the vendor books a print of {-excess} here that was printed in another bar"
    return "no single print accounts for it"


def _carry(served: Mapping[int, ServedBar], carried: Mapping[int, Decimal]) -> dict[int, Decimal]:
    volumes: dict[int, Decimal] = {}
    last: int | None = None
    for start in sorted(served.keys() | carried.keys()):
        if start in served:
            last = start
            volumes[start] = _decimal(served[start].volume)
        elif last is not None:
            volumes[last] += carried[start]
    return volumes


def _differences(
    start: int, ours: ServedBar | None, theirs: VendorBar | None, volume: Decimal
) -> list[Difference]:
    if ours is None or theirs is None:
        side = "only the vendor has this bar" if ours is None else "the vendor has no such bar"
        return [
            Difference(
                start,
                "bar",
                None if ours is None else _decimal(ours.close),
                None if theirs is None else theirs.close,
                side,
            )
        ]
    pairs = {
        "open": (_decimal(ours.open), theirs.open),
        "high": (_decimal(ours.high), theirs.high),
        "low": (_decimal(ours.low), theirs.low),
        "close": (_decimal(ours.close), theirs.close),
        "volume": (volume, theirs.volume),
    }
    if theirs.trades is not None:
        pairs["trades"] = (Decimal(ours.trades), Decimal(theirs.trades))
    if theirs.vwap is not None:
        cut = _decimal(ours.vwap).quantize(_VENDOR_VWAP_STEP, ROUND_DOWN)
        pairs["vwap"] = (cut, theirs.vwap)
    return [
        Difference(start, name, left, right, "")
        for name, (left, right) in pairs.items()
        if left != right
    ]


def _decimal(value: float) -> Decimal:
    """Return the shortest decimal that reads back as the same float: the one that was written."""
    return Decimal(repr(value))
