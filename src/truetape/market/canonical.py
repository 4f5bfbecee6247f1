"""Canonical trades: trades with duplicates, cancels and corrections applied.

Drops no trade, it flags them. Does not judge conditions: `bars` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from truetape.market.amendments import Meaning, TradesMeant, arrival
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
class Canonical:
    """Trades in total order, and the amendments whose trade has not arrived yet."""

    trades: tuple[CanonicalTrade, ...]
    pending: tuple[Amendment, ...]


def canonical(
    events: Iterable[Event], venues: Mapping[str, Venue], as_of_ns: int | None = None
) -> Canonical:
    """Apply duplicates, cancels and corrections to `events`, given in any order.

    The first delivery of a key counts. The key is (feed, venue, symbol, session date, id), or the
    source position if the feed has no ids. `as_of_ns` leaves out events received after it.

    `amendments.TradesMeant` has the rule for which trade an amendment means.
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
    by_trade, pending = _by_trade(firsts, amendments, venues)
    in_force = {key: amended(trade, by_trade.get(key, ())) for key, trade in firsts.items()}
    repeats = [
        CanonicalTrade(trade, duplicate=True)
        for trade in trades
        if firsts[key_of(trade, venues)].position != trade.position
    ]
    ordered = sorted([*in_force.values(), *repeats], key=lambda item: item.trade.order)
    return Canonical(tuple(ordered), tuple(pending))


def amendments_of(
    trades: Iterable[Trade], amendments: Iterable[Amendment], venues: Mapping[str, Venue]
) -> dict[Position, list[Amendment]]:
    """Return the amendments of each trade, in the order in which they apply, by its position.

    Only first deliveries are amended.
    """
    firsts = first_deliveries(list(trades), venues)
    by_trade, _ = _by_trade(firsts, amendments, venues)
    return {firsts[key].position: amended_by for key, amended_by in by_trade.items()}


def amended(trade: Trade, amendments: Iterable[Amendment]) -> CanonicalTrade:
    """Apply a trade's amendments, in the order in which `amendments_of` returns them."""
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


def _by_trade(
    firsts: Mapping[TradeKey, Trade],
    amendments: Iterable[Amendment],
    venues: Mapping[str, Venue],
) -> tuple[dict[TradeKey, list[Amendment]], list[Amendment]]:
    """Return amendments by the trade they mean, in the order in which they apply, and those without
    a trade in order of arrival.
    """
    arrived = sorted(amendments, key=arrival)
    meant = TradesMeant(firsts.values(), arrived, venues)
    found: dict[TradeKey, list[tuple[Meaning, Amendment]]] = defaultdict(list)
    pending: list[Amendment] = []
    for amendment in arrived:
        meaning = meant.meaning(amendment)
        if meaning is None:
            pending.append(amendment)
        else:
            found[key_of(meaning.trade, venues)].append((meaning, amendment))
    by_trade = {
        key: [amendment for _, amendment in sorted(pairs, key=_effect)]
        for key, pairs in found.items()
    }
    return by_trade, pending


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
