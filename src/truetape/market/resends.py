"""Resends: trades that come again under an id which a correction gave them, and ids that clash.

Decides nothing about repeats under the same id: `canonical` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from truetape.market.amendments import (
    Arrival,
    Meaning,
    TradeName,
    TradesMeant,
    arrival,
    given_name,
    name_of,
)
from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Correction, Position, Trade

_Terms = tuple[Decimal, Decimal]
_NameOnDay = tuple[TradeName, date]


@dataclass(frozen=True, slots=True)
class Resend:
    """What a resend is: the trade `of`, whose id a correction replaced by the resend's.

    `correction` is the one that gave this id. An amendment that names the resend takes effect after
    `effect`; `steps`: by how many corrections the trade got the id.
    """

    of: Trade
    correction: Correction
    effect: Arrival
    steps: int


class Resends:
    """Finds the first deliveries that are another trade sent again.

    A trade is another one sent again if a correction gave the other its id, and it has the event
    time of the other, and a price and size that the other had. The order of arrival does not
    matter. With another time, price or size it is a trade of its own: both count, and the id
    clashes.
    """

    def __init__(
        self, trades: Iterable[Trade], amendments: Iterable[Amendment], meant: TradesMeant
    ) -> None:
        """`trades`: first deliveries. `meant` knows them and the amendments."""
        self._meant = meant
        self._applied = [
            (each, meaning.trade)
            for each in sorted(amendments, key=arrival)
            if isinstance(each, Correction) and (meaning := meant.meaning(each)) is not None
        ]
        self._given = [
            (name, correction, trade)
            for correction, trade in self._applied
            if (name := given_name(correction)) is not None
        ]
        names = {name for name, _, _ in self._given}
        self._named: dict[TradeName, list[Trade]] = defaultdict(list)
        for trade in trades if names else ():
            if name_of(trade) in names:
                self._named[name_of(trade)].append(trade)
        self.found = self._resolved(_without_circles(self._links()))
        """The resends, by position."""

    def meaning(self, amendment: Amendment) -> Meaning | None:
        """Return what `TradesMeant.meaning` does; the trade itself in place of a resend."""
        meaning = self._meant.meaning(amendment)
        resend = None if meaning is None else self.found.get(meaning.trade.position)
        if meaning is None or resend is None:
            return meaning
        effect = max(meaning.effect, resend.effect)
        return Meaning(resend.of, effect, meaning.steps + resend.steps)

    def clashes(self, venues: Mapping[str, Venue]) -> list[Correction]:
        """Return the corrections which gave an id that another trade of the same day has too."""
        holders: dict[_NameOnDay, set[Position]] = defaultdict(set)
        given: list[tuple[Correction, _NameOnDay]] = []
        for name, correction, trade in self._given:
            given.append((correction, (name, venues[trade.venue].date_of(trade.event_ns))))
            holders[given[-1][1]].add(self._original(trade))
        for name, trades in self._named.items():
            for trade in trades:
                day = venues[trade.venue].date_of(trade.event_ns)
                holders[name, day].add(self._original(trade))
        return [correction for correction, on_day in given if len(holders[on_day]) > 1]

    def _original(self, trade: Trade) -> Position:
        resend = self.found.get(trade.position)
        return (trade if resend is None else resend.of).position

    def _links(self) -> "dict[Position, _Link]":
        """Return the trades that are another one, each by the first correction that says so."""
        corrected: dict[Position, set[_Terms]] = defaultdict(set)
        for correction, trade in self._applied:
            corrected[trade.position].add(_terms(correction))
        links: dict[Position, _Link] = {}
        for name, correction, trade in self._given:
            for each in self._named[name]:
                had = {_terms(trade)} | corrected[trade.position] | corrected[each.position]
                is_other = each.position != trade.position
                if is_other and each.event_ns == trade.event_ns and _terms(each) in had:
                    links.setdefault(each.position, _Link(each, trade, correction))
        return links

    def _resolved(self, links: "Mapping[Position, _Link]") -> dict[Position, Resend]:
        """Follow links to the trade that no link leads on from."""
        found: dict[Position, Resend] = {}
        for start in links.values():
            path = [start]
            while path[-1].of.position in links and path[-1].of.position not in found:
                path.append(links[path[-1].of.position])
            for link in reversed(path):
                found[link.resend.position] = self._resend(link, found.get(link.of.position))
        return found

    def _resend(self, link: "_Link", older: Resend | None) -> Resend:
        meaning = self._meant.meaning(link.correction)
        effect = arrival(link.correction) if meaning is None else meaning.effect
        steps = 1 + (0 if meaning is None else meaning.steps)
        if older is None:
            return Resend(link.of, link.correction, effect, steps)
        return Resend(older.of, link.correction, max(effect, older.effect), steps + older.steps)


@dataclass(frozen=True, slots=True)
class _Link:
    """`correction` gave the trade `of` the id with which `resend` came."""

    resend: Trade
    of: Trade
    correction: Correction


def _without_circles(links: dict[Position, _Link]) -> dict[Position, _Link]:
    """Remove a link of each circle, so that its first trade to arrive counts."""
    seen: set[Position] = set()
    for start in list(links):
        path: dict[Position, _Link] = {}
        place = start
        while place in links and place not in seen:
            seen.add(place)
            path[place] = links[place]
            place = links[place].of.position
        if place in path:
            circle = list(path.values())[list(path).index(place) :]
            del links[min((link.resend for link in circle), key=arrival).position]
    return links


def _terms(event: Trade | Correction) -> _Terms:
    return event.price, event.size
