"""The lineage of one bar: its trades, the excluded deliveries and why, and its revisions.

Pure; does no I/O. Applies the reference rules of `market.canonical` and `market.bars`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from truetape.drift.ledger import BarDrift
from truetape.lake.publications import Publication
from truetape.market.bars import Bar, bars
from truetape.market.canonical import (
    CanonicalTrade,
    Changes,
    TradeKey,
    canonical,
    first_deliveries,
    key_of,
)
from truetape.market.eligibility import Eligibility, Profile
from truetape.market.resolution import ROLLED_UP, ROLLUP_SOURCE, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Cancel, Event, Position, Trade
from truetape.serving.store import ServedBar


@dataclass(frozen=True, slots=True)
class BarId:
    """The key of a bar."""

    symbol: str
    venue: str
    resolution: Resolution
    start_ns: int

    def takes(self, event_ns: int, session: Session) -> bool:
        """True if an instant lies in the bar; the 1d bar covers its whole session."""
        if self.resolution is Resolution.DAY:
            return session.contains(event_ns)
        return self._spans(event_ns)

    def is_rolled_up_from(self, drift: BarDrift) -> bool:
        """True if an entry belongs to a minute from which this bar is rolled up."""
        if self.resolution not in ROLLED_UP or drift.resolution is not ROLLUP_SOURCE:
            return False
        return drift.symbol == self.symbol and self._spans(drift.start_ns)

    def _spans(self, instant_ns: int) -> bool:
        return self.start_ns <= instant_ns < self.start_ns + self.resolution.width_ns


@dataclass(frozen=True, slots=True)
class TracedDelivery:
    """One delivery of a trade with its values in force, and whether it counts.

    `sets` are the prices of the bar that come from this print. `excluded` is the reason why it does
    not count, None if it counts. `received` is the trade before `amendments` were applied.
    """

    trade: Trade
    received: Trade
    eligibility: Eligibility
    sets: tuple[str, ...]
    excluded: str | None
    amendments: tuple[Amendment, ...]


@dataclass(frozen=True, slots=True)
class BarRevision:
    """One publication of the session, and its change of this bar; None if it changed nothing.

    A rolled-up provisional bar follows its minutes: `minutes` are those that the publication
    changed.
    """

    publication: Publication
    drift: BarDrift | None
    minutes: tuple[BarDrift, ...] = ()


@dataclass(frozen=True, slots=True)
class LineageVersions:
    """The versions behind the bar: profile, contracts by feed, tables of the lake."""

    profile: tuple[str, int]
    contracts: Mapping[str, tuple[int, ...]]
    lake: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The lineage of one bar. `folded` is the fold of its trades now, None without trades."""

    bar: BarId
    served: ServedBar | None
    folded: Bar | None
    deliveries: tuple[TracedDelivery, ...]
    pending: tuple[Amendment, ...]
    """Amendments of the symbol whose trade has not been received yet."""
    revisions: tuple[BarRevision, ...]
    versions: LineageVersions

    @property
    def counted(self) -> tuple[TracedDelivery, ...]:
        """Return the prints that count, in the bar's order."""
        return tuple(each for each in self.deliveries if each.excluded is None)

    @property
    def left_out(self) -> tuple[TracedDelivery, ...]:
        """Return the deliveries that do not count, in the same order."""
        return tuple(each for each in self.deliveries if each.excluded is not None)


def trace(
    bar: BarId,
    events: Iterable[Event],
    venue: Venue,
    session: Session,
    profile: Profile,
) -> tuple[Bar | None, tuple[TracedDelivery, ...], tuple[Amendment, ...]]:
    """Return the fold of a symbol's events for one bar, each delivery in it, and the amendments
    whose trade has not been received yet.
    """
    by_code = {venue.code: venue}
    received = list(events)
    settled = canonical(received, by_code)
    in_bar = [item for item in settled.trades if bar.takes(item.trade.event_ns, session)]
    made = bars(in_bar, profile, bar.resolution, {venue.code: [session]})
    folded = next((each for each in made if each.start_ns == bar.start_ns), None)
    trades = [event for event in received if isinstance(event, Trade)]
    facts = _Facts(
        session,
        bar.resolution is Resolution.DAY,
        {trade.position: trade for trade in trades},
        first_deliveries(trades, by_code),
        settled.changes,
        by_code,
    )
    judged = [(item, profile.judge(item.trade.conditions, item.trade.tape)) for item in in_bar]
    ends = _Ends.of([pair for pair in judged if facts.excluded(*pair) is None])
    deliveries = tuple(facts.delivery(item, grade, ends) for item, grade in judged)
    return folded, deliveries, settled.pending


def revisions(
    publications: Sequence[Publication], drifts: Iterable[BarDrift], bar: BarId
) -> tuple[BarRevision, ...]:
    """Return the publications of a session with their changes of a bar, oldest first."""
    key, entries = (bar.symbol, bar.resolution.value, bar.start_ns), list(drifts)
    changed = {drift.rev: drift for drift in entries if drift.key == key}
    minutes: dict[int, list[BarDrift]] = defaultdict(list)
    for drift in entries:
        if bar.is_rolled_up_from(drift):
            minutes[drift.rev].append(drift)
    return tuple(
        BarRevision(each, changed.get(each.rev), tuple(minutes[each.rev])) for each in publications
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    session: Session
    is_daily: bool
    received: Mapping[Position, Trade]
    firsts: Mapping[TradeKey, Trade]
    changes: Changes
    venues: Mapping[str, Venue]

    def delivery(self, item: CanonicalTrade, grade: Eligibility, ends: "_Ends") -> TracedDelivery:
        position = item.trade.position
        excluded = self.excluded(item, grade)
        return TracedDelivery(
            trade=item.trade,
            received=self.received[position],
            eligibility=grade,
            sets=() if excluded else ends.of_print(item.trade, grade),
            excluded=excluded,
            amendments=tuple(self.changes.by_trade.get(position, ())),
        )

    def excluded(self, item: CanonicalTrade, grade: Eligibility) -> str | None:
        """Return why a delivery does not count in the bar; None if it counts."""
        trade = item.trade
        if item.duplicate:
            return self._repeats(self.firsts[key_of(trade, self.venues)])
        if item.cancelled:
            amendments = self.changes.by_trade[trade.position]
            cancel = next(each for each in amendments if isinstance(each, Cancel))
            return f"cancelled by {cancel.position}"
        if self.is_daily and not self.session.is_in_day(trade.event_ns, auction=grade.auction):
            return "outside the regular session and not an auction print"
        if not grade.known:
            return f"unknown condition among {' '.join(trade.conditions)}"
        if not (grade.open_close or grade.high_low or grade.volume):
            return f"conditions {' '.join(trade.conditions)} count for nothing"
        return None

    def _repeats(self, first: Trade) -> str:
        """Return what a repeat repeats, given the first delivery of its id."""
        resend = self.changes.resends.get(first.position)
        if resend is None:
            return f"repeat delivery of {first.position}"
        given = resend.correction.position
        return f"repeat delivery of {resend.of.position} under the id that {given} gave"


@dataclass(frozen=True, slots=True)
class _Ends:
    """The first and last print of a bar, and its highest and lowest price."""

    first: Position | None
    last: Position | None
    high: Decimal | None
    low: Decimal | None

    @classmethod
    def of(cls, counting: Sequence[tuple[CanonicalTrade, Eligibility]]) -> "_Ends":
        """Return the ends of prints given in the bar's order."""
        ends = [item.trade.position for item, grade in counting if grade.open_close]
        prices = [item.trade.price for item, grade in counting if grade.high_low]
        return cls(
            ends[0] if ends else None,
            ends[-1] if ends else None,
            max(prices, default=None),
            min(prices, default=None),
        )

    def of_print(self, trade: Trade, grade: Eligibility) -> tuple[str, ...]:
        """Return the prices of the bar that come from a print."""
        is_from_print = {
            "open": trade.position == self.first,
            "high": grade.high_low and trade.price == self.high,
            "low": grade.high_low and trade.price == self.low,
            "close": trade.position == self.last,
        }
        return tuple(name for name, is_set in is_from_print.items() if is_set)
