"""Canonical trades: trades with duplicates, cancels and corrections applied.

Drops no trade, it flags them. Does not judge conditions: `bars` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Cancel, Correction, Event, Position, Trade

AMENDMENT_REACH = timedelta(days=7)
"""How far before its session an amendment without event time looks for its trade. Every reader of a
session reads this far, so that all of them get the same trade.
"""

TradeName = tuple[str, str, str, str]
"""Feed, venue, symbol and id: how an amendment names its trade."""
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

    An amendment with event time means the trade of that day. An amendment without one means a trade
    of its own day of receipt or of an earlier day: the latest one received before it, else the
    first one received after it.
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
    """Return the amendments of each trade, in order of arrival, by the trade's position.

    Only first deliveries are amended. `canonical` has the rule for which trade is meant.
    """
    firsts = first_deliveries(list(trades), venues)
    by_trade, _ = _by_trade(firsts, amendments, venues)
    return {firsts[key].position: amended_by for key, amended_by in by_trade.items()}


def amended(trade: Trade, amendments: Iterable[Amendment]) -> CanonicalTrade:
    """Apply a trade's amendments; they come in order of arrival."""
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


def name_of(event: Event) -> TradeName:
    """Return how amendments name a trade, or which trade an amendment names."""
    return event.feed, event.venue, event.symbol, event.id or ""


def first_deliveries(trades: Iterable[Trade], venues: Mapping[str, Venue]) -> dict[TradeKey, Trade]:
    """Return the first delivery of each trade, in order of arrival."""
    firsts: dict[TradeKey, Trade] = {}
    for trade in sorted(trades, key=_arrival):
        firsts.setdefault(key_of(trade, venues), trade)
    return firsts


def trade_meant(
    amendment: Amendment, named: Iterable[Trade], venues: Mapping[str, Venue]
) -> Trade | None:
    """Return the trade that an amendment means; None if that trade has not arrived yet.

    `named`: the first deliveries of trades with the amendment's name, in order of arrival.
    """
    venue = venues[amendment.venue]
    if amendment.event_ns is not None:
        day = venue.date_of(amendment.event_ns)
        return next((trade for trade in named if venue.date_of(trade.event_ns) == day), None)
    latest = venue.date_of(amendment.received_ns)
    due = [trade for trade in named if venue.date_of(trade.event_ns) <= latest]
    before = [trade for trade in due if _arrival(trade) < _arrival(amendment)]
    if before:
        return before[-1]
    return due[0] if due else None


def means_only_this_session(
    amendment: Amendment, earliest_ns: int | None, session: Session
) -> bool:
    """True if an amendment cannot mean a trade of another session.

    Ids are unique within a day only. `earliest_ns`: the first receipt of a trade of this session
    with the amendment's name, None without one.
    """
    names_its_day = amendment.event_ns is not None
    is_known = earliest_ns is not None and earliest_ns <= amendment.received_ns
    return names_its_day or (is_known and amendment.received_ns < session.end_ns)


def _arrival(event: Event) -> tuple[int, Position]:
    return event.received_ns, event.position


def _by_trade(
    firsts: Mapping[TradeKey, Trade],
    amendments: Iterable[Amendment],
    venues: Mapping[str, Venue],
) -> tuple[dict[TradeKey, list[Amendment]], list[Amendment]]:
    """Return amendments in order of arrival by the trade they mean, and those without a trade."""
    by_name: dict[TradeName, list[Trade]] = defaultdict(list)
    for trade in firsts.values():  # in order of arrival
        if trade.id is not None:
            by_name[name_of(trade)].append(trade)
    by_trade: dict[TradeKey, list[Amendment]] = defaultdict(list)
    pending: list[Amendment] = []
    for amendment in sorted(amendments, key=_arrival):
        target = trade_meant(amendment, by_name.get(name_of(amendment), ()), venues)
        if target is None:
            pending.append(amendment)
        else:
            by_trade[key_of(target, venues)].append(amendment)
    return by_trade, pending


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
