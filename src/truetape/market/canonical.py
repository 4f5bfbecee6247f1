"""Canonical trades: what is left to count once duplicates, cancels and corrections are applied.

Keeps every trade and flags it; drops nothing. Eligibility by conditions comes later, in `bars`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Cancel, Correction, Event, Position, Trade

AMENDMENT_REACH = timedelta(days=7)
"""How far back of its session an amendment without event time looks for its trade: whoever reads a
session reads as far, so that all find the same one.
"""

TradeKey = tuple[str, str, str, date, str] | Position


@dataclass(frozen=True, slots=True)
class CanonicalTrade:
    """A trade with the values in force, and why it counts or not for bars."""

    trade: Trade
    duplicate: bool = False
    cancelled: bool = False
    corrected: bool = False

    @property
    def counts(self) -> bool:
        """Say whether the trade is in force: neither a repeat delivery nor cancelled."""
        return not (self.duplicate or self.cancelled)


@dataclass(frozen=True, slots=True)
class Canonical:
    """The outcome: trades in total order, and the amendments that found no trade yet."""

    trades: tuple[CanonicalTrade, ...]
    pending: tuple[Amendment, ...]


def canonical(
    events: Iterable[Event], venues: Mapping[str, Venue], as_of_ns: int | None = None
) -> Canonical:
    """Apply duplicates, cancels and corrections to `events`, in any order of arrival.

    The first delivery of a key counts: (feed, venue, symbol, session date, id), or the source
    position where a feed has no ids. With `as_of_ns`, only events received at or before it exist.
    An amendment without event time means a trade of the day it was received on or of an earlier
    day; the one received last before it, else the first to come after it.
    """
    trades: list[Trade] = []
    amendments: list[Amendment] = []
    for event in events:
        if as_of_ns is not None and event.received_ns > as_of_ns:
            continue
        if isinstance(event, Trade):
            trades.append(event)
        else:
            amendments.append(event)

    firsts = _first_deliveries(trades, venues)
    meant, pending = _meant(firsts, amendments, venues)
    state = {key: amended(trade, meant.get(key, ())) for key, trade in firsts.items()}
    repeats = [
        CanonicalTrade(trade, duplicate=True)
        for trade in trades
        if firsts[key_of(trade, venues)].position != trade.position
    ]
    ordered = sorted([*state.values(), *repeats], key=lambda item: item.trade.order)
    return Canonical(tuple(ordered), tuple(pending))


def amendments_of(
    trades: Iterable[Trade], amendments: Iterable[Amendment], venues: Mapping[str, Venue]
) -> dict[Position, list[Amendment]]:
    """Return the amendments that mean a trade, in order of arrival, by its position.

    Only first deliveries are amended; which trade is meant, `canonical` says.
    """
    firsts = _first_deliveries(list(trades), venues)
    meant, _ = _meant(firsts, amendments, venues)
    return {firsts[key].position: found for key, found in meant.items()}


def amended(trade: Trade, amendments: Iterable[Amendment]) -> CanonicalTrade:
    """Apply amendments that mean a trade, in order of arrival."""
    item = CanonicalTrade(trade)
    for amendment in amendments:
        item = _amend(item, amendment)
    return item


def key_of(trade: Trade, venues: Mapping[str, Venue]) -> TradeKey:
    """Return what makes a trade the same trade when it is delivered again."""
    if trade.id is None:
        return trade.position
    day = venues[trade.venue].date_of(trade.event_ns)
    return trade.feed, trade.venue, trade.symbol, day, trade.id


def _first_deliveries(
    trades: Sequence[Trade], venues: Mapping[str, Venue]
) -> dict[TradeKey, Trade]:
    firsts: dict[TradeKey, Trade] = {}
    for trade in sorted(trades, key=_arrival):
        firsts.setdefault(key_of(trade, venues), trade)
    return firsts


def _meant(
    firsts: Mapping[TradeKey, Trade],
    amendments: Iterable[Amendment],
    venues: Mapping[str, Venue],
) -> tuple[dict[TradeKey, list[Amendment]], list[Amendment]]:
    """Sort amendments, in order of arrival, by the trade they mean; then those that found none."""
    targets = _Targets(firsts, venues)
    meant: dict[TradeKey, list[Amendment]] = defaultdict(list)
    pending = []
    for amendment in sorted(amendments, key=_arrival):
        key = targets.of(amendment)
        if key is None:
            pending.append(amendment)
        else:
            meant[key].append(amendment)
    return meant, pending


def _arrival(event: Event) -> tuple[int, Position]:
    return event.received_ns, event.position


def _amend(item: CanonicalTrade, amendment: Amendment) -> CanonicalTrade:
    """Apply one amendment; a cancel is the end, so nothing changes a cancelled trade."""
    if item.cancelled:
        return item
    match amendment:
        case Cancel():
            return replace(item, cancelled=True)
        case Correction(price=price, size=size, conditions=conditions):
            kept = item.trade.conditions if conditions is None else conditions
            return replace(
                item,
                trade=replace(item.trade, price=price, size=size, conditions=kept),
                corrected=True,
            )


class _Targets:
    """Finds the trade that an amendment means."""

    def __init__(self, firsts: Mapping[TradeKey, Trade], venues: Mapping[str, Venue]) -> None:
        self._venues = venues
        self._by_id: dict[tuple[str, str, str, str], list[tuple[TradeKey, Trade]]] = defaultdict(
            list
        )
        for key, trade in firsts.items():  # in order of arrival
            if trade.id is not None:
                self._by_id[trade.feed, trade.venue, trade.symbol, trade.id].append((key, trade))

    def of(self, amendment: Amendment) -> TradeKey | None:
        named = self._by_id.get(
            (amendment.feed, amendment.venue, amendment.symbol, amendment.id), []
        )
        if amendment.event_ns is not None:
            day = self._venues[amendment.venue].date_of(amendment.event_ns)
            same_day = (
                key
                for key, trade in named
                if self._venues[trade.venue].date_of(trade.event_ns) == day
            )
            return next(same_day, None)
        latest = self._venues[amendment.venue].date_of(amendment.received_ns)
        due = [(key, trade) for key, trade in named if self._date(trade) <= latest]
        before = [key for key, trade in due if _arrival(trade) < _arrival(amendment)]
        if before:
            return before[-1]
        return due[0][0] if due else None

    def _date(self, trade: Trade) -> date:
        return self._venues[trade.venue].date_of(trade.event_ns)
