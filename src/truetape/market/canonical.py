"""Canonical trades: trades with duplicates, cancels and corrections applied.

Drops no trade, it flags them. Does not judge conditions: `bars` does.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from truetape.market.amendments import Meaning, TradesMeant, arrival
from truetape.market.resends import Resend, Resends
from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Cancel, Correction, Event, Position, Trade

TradeKey = tuple[str, str, str, date, str] | Position


@dataclass(frozen=True, slots=True)
class CanonicalTrade:
    """A trade with its values in force, and the flags that decide whether it counts for bars."""

    trade: Trade
    duplicate: bool = False
    cancelled: bool = False
    corrected: bool = False

    @property
    def counts(self) -> bool:
        """True if the trade is in force: not a repeat delivery and not cancelled."""
        return not (self.duplicate or self.cancelled)


@dataclass(frozen=True, slots=True)
class Changes:
    """What amendments do to some trades; trades by position.

    `by_trade` are the amendments of each trade, in the order in which they apply. `pending` have no
    trade yet. `resends` are repeats: another trade, sent again under the id that a correction gave
    it. `clashes` are the corrections which gave an id that another trade of that day has too.
    """

    by_trade: Mapping[Position, list[Amendment]]
    pending: tuple[Amendment, ...]
    resends: Mapping[Position, Resend]
    clashes: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class Canonical:
    """Trades in total order, and which amendments made them so."""

    trades: tuple[CanonicalTrade, ...]
    changes: Changes

    @property
    def pending(self) -> tuple[Amendment, ...]:
        """Return the amendments whose trade has not arrived yet."""
        return self.changes.pending


def canonical(
    events: Iterable[Event], venues: Mapping[str, Venue], as_of_ns: int | None = None
) -> Canonical:
    """Apply duplicates, cancels and corrections to `events`, given in any order.

    The first delivery of a key counts. The key is (feed, venue, symbol, session date, id), or the
    source position if the feed has no ids. `as_of_ns` leaves out events received after it.

    `amendments.TradesMeant` has the rule for which trade an amendment means, `resends.Resends` the
    one for trades that come again under the id which a correction gave them.
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

    firsts = first_deliveries(trades, venues)
    changes = _changes(firsts.values(), amendments, venues)
    in_force = [apply(trade, changes) for trade in firsts.values()]
    repeats = [
        CanonicalTrade(trade, duplicate=True)
        for trade in trades
        if firsts[key_of(trade, venues)].position != trade.position
    ]
    ordered = sorted([*in_force, *repeats], key=lambda item: item.trade.order)
    return Canonical(tuple(ordered), changes)


def changes_of(
    trades: Iterable[Trade], amendments: Iterable[Amendment], venues: Mapping[str, Venue]
) -> Changes:
    """Return what amendments do to trades, which are given in any order with their repeats.

    Only first deliveries are amended.
    """
    return _changes(first_deliveries(trades, venues).values(), amendments, venues)


def apply(trade: Trade, changes: Changes) -> CanonicalTrade:
    """Return a first delivery with what `changes_of` says of it."""
    if trade.position in changes.resends:
        return CanonicalTrade(trade, duplicate=True)
    return amended(trade, changes.by_trade.get(trade.position, ()))


def amended(trade: Trade, amendments: Iterable[Amendment]) -> CanonicalTrade:
    """Apply a trade's amendments, in the order in which `changes_of` returns them."""
    item = CanonicalTrade(trade)
    for amendment in amendments:
        item = _amend(item, amendment)
    return item


def key_of(trade: Trade, venues: Mapping[str, Venue]) -> TradeKey:
    """Return the key that all deliveries of the same trade share."""
    if trade.id is None:
        return trade.position
    day = venues[trade.venue].date_of(trade.event_ns)
    return trade.feed, trade.venue, trade.symbol, day, trade.id


def first_deliveries(trades: Iterable[Trade], venues: Mapping[str, Venue]) -> dict[TradeKey, Trade]:
    """Return the first delivery of each trade, in order of arrival."""
    firsts: dict[TradeKey, Trade] = {}
    for trade in sorted(trades, key=arrival):
        firsts.setdefault(key_of(trade, venues), trade)
    return firsts


def _changes(
    firsts: Collection[Trade], amendments: Iterable[Amendment], venues: Mapping[str, Venue]
) -> Changes:
    arrived = sorted(amendments, key=arrival)
    resends = Resends(firsts, arrived, TradesMeant(firsts, arrived, venues))
    found: dict[Position, list[tuple[Meaning, Amendment]]] = defaultdict(list)
    pending: list[Amendment] = []
    for amendment in arrived:
        meaning = resends.meaning(amendment)
        if meaning is None:
            pending.append(amendment)
        else:
            found[meaning.trade.position].append((meaning, amendment))
    by_trade = {
        position: [amendment for _, amendment in sorted(pairs, key=_effect)]
        for position, pairs in found.items()
    }
    return Changes(by_trade, tuple(pending), resends.found, tuple(resends.clashes(venues)))


def _effect(pair: tuple[Meaning, Amendment]) -> tuple[object, int]:
    meaning, _ = pair
    return meaning.effect, meaning.steps


def _amend(item: CanonicalTrade, amendment: Amendment) -> CanonicalTrade:
    """Apply one amendment. Nothing changes a cancelled trade."""
    if item.cancelled:
        return item
    match amendment:
        case Cancel():
            return replace(item, cancelled=True)
        case Correction(price=price, size=size, conditions=conditions):
            in_force = item.trade.conditions if conditions is None else conditions
            return replace(
                item,
                trade=replace(item.trade, price=price, size=size, conditions=in_force),
                corrected=True,
            )
