"""The lineage of one bar: the trades that made it, what was excluded and why, and its history.

Pure; does no I/O. Uses the reference rules, as `market.canonical` and `market.bars` have them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from truetape.drift.ledger import BarDrift
from truetape.lake.publications import Publication
from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade, amendments_of, canonical, key_of
from truetape.market.eligibility import Eligibility, Profile
from truetape.market.resolution import ROLLED_UP, ROLLUP_SOURCE, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Cancel, Event, Position, Trade
from truetape.serving.store import ServedBar


@dataclass(frozen=True, slots=True)
class BarId:
    """Which bar: `start_ns` is its label."""

    symbol: str
    venue: str
    resolution: Resolution
    start_ns: int

    def takes(self, event_ns: int, session: Session) -> bool:
        """Say whether an instant lies in the bar; the 1d bar looks at all of its session."""
        if self.resolution is Resolution.DAY:
            return session.contains(event_ns)
        return self._spans(event_ns)

    def adds_up(self, drift: BarDrift) -> bool:
        """Say whether an entry is of a minute that the bar is added up from."""
        if self.resolution not in ROLLED_UP or drift.resolution is not ROLLUP_SOURCE:
            return False
        return drift.symbol == self.symbol and self._spans(drift.start_ns)

    def _spans(self, instant_ns: int) -> bool:
        return self.start_ns <= instant_ns < self.start_ns + self.resolution.width_ns


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery of a trade with the values in force, and why it counts or does not.

    `sets` are the fields of the bar that are this print's; `excluded` is None for one that counts
    for something. `amendments` are those applied to it, `received` what it was before them.
    """

    trade: Trade
    received: Trade
    eligibility: Eligibility
    sets: tuple[str, ...]
    excluded: str | None
    amendments: tuple[Amendment, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """One publication of the session, and what it changed in this bar; None where nothing.

    A provisional bar wider than a minute says what its minutes say: `minutes` are those of them
    that this publication changed.
    """

    publication: Publication
    drift: BarDrift | None
    minutes: tuple[BarDrift, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """What the bar was made with: profile, contracts by feed, and tables of the lake."""

    profile: tuple[str, int]
    contracts: Mapping[str, tuple[int, ...]]
    lake: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lineage:
    """All that is known about one bar. `folded` is what its trades give now, None where nothing."""

    bar: BarId
    served: ServedBar | None
    folded: Bar | None
    lines: tuple[Line, ...]
    pending: tuple[Amendment, ...]
    """Amendments of the symbol that found no trade yet."""
    history: tuple[Revision, ...]
    versions: Versions

    @property
    def counted(self) -> tuple[Line, ...]:
        """Return the prints that made the bar, in its order."""
        return tuple(line for line in self.lines if line.excluded is None)

    @property
    def left_out(self) -> tuple[Line, ...]:
        """Return the deliveries that count for nothing, in the same order."""
        return tuple(line for line in self.lines if line.excluded is not None)


def trace(
    bar: BarId,
    events: Iterable[Event],
    venue: Venue,
    session: Session,
    profile: Profile,
) -> tuple[Bar | None, tuple[Line, ...], tuple[Amendment, ...]]:
    """Return what a symbol's events give for one bar, a line for each delivery in it, and the
    amendments that wait for their trade.
    """
    known = {venue.code: venue}
    happened = list(events)
    settled = canonical(happened, known)
    mine = [item for item in settled.trades if bar.takes(item.trade.event_ns, session)]
    found = bars(mine, profile, bar.resolution, {venue.code: [session]})
    folded = next((one for one in found if one.start_ns == bar.start_ns), None)
    trades = [event for event in happened if isinstance(event, Trade)]
    amendments = [event for event in happened if not isinstance(event, Trade)]
    facts = _Facts(
        session,
        bar.resolution is Resolution.DAY,
        {one.position: one for one in trades},
        {
            key_of(item.trade, known): item.trade.position
            for item in settled.trades
            if not item.duplicate
        },
        amendments_of(trades, amendments, known),
        known,
    )
    judged = [(item, profile.judge(item.trade.conditions, item.trade.tape)) for item in mine]
    ends = _Ends.of([pair for pair in judged if facts.excluded(*pair) is None])
    lines = tuple(facts.line(item, grade, ends) for item, grade in judged)
    return folded, lines, settled.pending


def history(
    publications: Sequence[Publication], drifts: Iterable[BarDrift], bar: BarId
) -> tuple[Revision, ...]:
    """Return the publications of a session with what each changed in a bar, oldest first."""
    place, entries = (bar.symbol, bar.resolution.value, bar.start_ns), list(drifts)
    changed = {drift.rev: drift for drift in entries if drift.key == place}
    minutes: dict[int, list[BarDrift]] = defaultdict(list)
    for drift in entries:
        if bar.adds_up(drift):
            minutes[drift.rev].append(drift)
    return tuple(
        Revision(one, changed.get(one.rev), tuple(minutes[one.rev])) for one in publications
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    session: Session
    is_daily: bool
    received: Mapping[Position, Trade]
    firsts: Mapping[object, Position]
    amendments: Mapping[Position, Sequence[Amendment]]
    venues: Mapping[str, Venue]

    def line(self, item: CanonicalTrade, grade: Eligibility, ends: "_Ends") -> Line:
        place = item.trade.position
        excluded = self.excluded(item, grade)
        return Line(
            trade=item.trade,
            received=self.received[place],
            eligibility=grade,
            sets=() if excluded else ends.of_print(item.trade, grade),
            excluded=excluded,
            amendments=tuple(self.amendments.get(place, ())) if not item.duplicate else (),
        )

    def excluded(self, item: CanonicalTrade, grade: Eligibility) -> str | None:
        """Say why a delivery counts for nothing in the bar, None where it does for something."""
        trade = item.trade
        if item.duplicate:
            first = self.firsts[key_of(trade, self.venues)]
            return f"repeat delivery of {first}"
        if item.cancelled:
            by = next(one for one in self.amendments[trade.position] if isinstance(one, Cancel))
            return f"cancelled by {by.position}"
        if self.is_daily and not (self.session.is_regular(trade.event_ns) or grade.auction):
            return "outside the regular session, and no auction print"
        if not grade.known:
            return f"unknown condition among {' '.join(trade.conditions)}"
        if not (grade.open_close or grade.high_low or grade.volume):
            return f"conditions {' '.join(trade.conditions)} count for nothing"
        return None


@dataclass(frozen=True, slots=True)
class _Ends:
    """Which prints are first and last, and how far prices reach."""

    first: Position | None
    last: Position | None
    high: Decimal | None
    low: Decimal | None

    @classmethod
    def of(cls, counting: Sequence[tuple[CanonicalTrade, Eligibility]]) -> "_Ends":
        """Find them among prints in the bar's order."""
        ends = [one.trade.position for one, grade in counting if grade.open_close]
        prices = [one.trade.price for one, grade in counting if grade.high_low]
        return cls(
            ends[0] if ends else None,
            ends[-1] if ends else None,
            max(prices, default=None),
            min(prices, default=None),
        )

    def of_print(self, trade: Trade, grade: Eligibility) -> tuple[str, ...]:
        """Return the prices of the bar that are a print's."""
        found = {
            "open": trade.position == self.first,
            "high": grade.high_low and trade.price == self.high,
            "low": grade.high_low and trade.price == self.low,
            "close": trade.position == self.last,
        }
        return tuple(name for name, is_set in found.items() if is_set)
