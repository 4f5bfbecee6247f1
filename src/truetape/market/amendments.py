"""Amendments: which trade a cancel or correction means, and in which order they apply.

Changes no trade: `canonical` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Correction, Event, Position, Trade

AMENDMENT_REACH = timedelta(days=7)
"""How far before its session an amendment without event time looks for its trade. Every reader of a
session reads this far, so that all of them get the same trade.
"""

TradeName = tuple[str, str, str, str]
"""Feed, venue, symbol and id: how an amendment names its trade."""

Arrival = tuple[int, Position]
"""The sort key of events by their arrival."""


def name_of(event: Event) -> TradeName:
    """Return how amendments name a trade, or which trade an amendment names."""
    return event.feed, event.venue, event.symbol, event.id or ""


def given_name(event: Event) -> TradeName | None:
    """Return the name that a correction gives to its trade, None if it gives none."""
    if not isinstance(event, Correction) or event.new_id is None:
        return None
    return event.feed, event.venue, event.symbol, event.new_id


def renaming(corrections: Iterable[Event], names: Iterable[TradeName]) -> list[Correction]:
    """Return the corrections that give one of these names, those that give the names which these
    name, and so on.
    """
    giving: dict[TradeName, list[Correction]] = defaultdict(list)
    for correction in corrections:
        name = given_name(correction)
        if name is not None and isinstance(correction, Correction):
            giving[name].append(correction)
    found: list[Correction] = []
    asked, seen = list(names), set()
    while asked:
        name = asked.pop()
        if name not in seen:
            seen.add(name)
            found += giving.get(name, ())
            asked += [name_of(each) for each in giving.get(name, ())]
    return found


def arrival(event: Event) -> Arrival:
    """Return the sort key of events by their arrival."""
    return event.received_ns, event.position


@dataclass(frozen=True, slots=True)
class Meaning:
    """The trade that an amendment means; `steps`: by how many corrections it got that name.

    An amendment that names what a later correction gives takes effect after that correction, at
    `effect`.
    """

    trade: Trade
    effect: Arrival
    steps: int


class TradesMeant:
    """Finds the trade that each of some amendments means.

    An amendment with event time means the trade of that day. An amendment without one means a trade
    of its own day of receipt or of an earlier day: the latest one received before it, else the
    first one received after it. A correction with a new id gives its trade one more name, which the
    trade has from the arrival of the correction on; so chains of corrections are followed.
    """

    def __init__(
        self,
        trades: Iterable[Trade],
        amendments: Iterable[Amendment],
        venues: Mapping[str, Venue],
    ) -> None:
        """`trades`: first deliveries. Both come in any order."""
        self._venues = venues
        self._named: dict[TradeName, list[Trade | Correction]] = defaultdict(list)
        for trade in trades:
            if trade.id is not None:
                self._named[name_of(trade)].append(trade)
        for amendment in amendments:
            name = given_name(amendment)
            if name is not None and isinstance(amendment, Correction):
                self._named[name].append(amendment)
        for named in self._named.values():
            named.sort(key=arrival)
        self._found: dict[Position, Meaning | None] = {}

    def of(self, amendment: Amendment) -> Trade | None:
        """Return the trade that an amendment means; None if it has not arrived yet."""
        meaning = self.meaning(amendment)
        return meaning.trade if meaning else None

    def meaning(self, amendment: Amendment) -> Meaning | None:
        """Return the trade that an amendment means, and when the amendment takes effect.

        A chain that leads back to its own beginning means no trade.
        """
        path, on_path = [amendment], {amendment.position}
        while path:
            last = path[-1]
            unknown = next(
                (
                    each
                    for each in self._named.get(name_of(last), ())
                    if isinstance(each, Correction)
                    and each.position not in self._found
                    and each.position not in on_path
                ),
                None,
            )
            if unknown is not None:
                path.append(unknown)
                on_path.add(unknown.position)
                continue
            self._found[last.position] = self._choose(last)
            on_path.remove(path.pop().position)
        return self._found[amendment.position]

    def named(self, amendment: Amendment) -> list[Trade]:
        """Return every trade that has the name which an amendment names, whatever its day."""
        trades: list[Trade] = []
        for each in self._named.get(name_of(amendment), ()):
            trade = each if isinstance(each, Trade) else self.of(each)
            if trade is not None and trade not in trades:
                trades.append(trade)
        return trades

    def _choose(self, amendment: Amendment) -> Meaning | None:
        due = [
            (named, trade, steps)
            for named in self._named.get(name_of(amendment), ())
            for trade, steps in self._meant_by(named)
            if self._is_due(amendment, trade)
        ]
        before = [choice for choice in due if arrival(choice[0]) < arrival(amendment)]
        if not due:
            return None
        named, trade, steps = before[-1] if before else due[0]
        effect = arrival(amendment)
        given = self._found.get(named.position) if isinstance(named, Correction) else None
        return Meaning(trade, max(effect, given.effect) if given else effect, steps)

    def _meant_by(self, named: Trade | Correction) -> list[tuple[Trade, int]]:
        if isinstance(named, Trade):
            return [(named, 0)]
        meaning = self._found.get(named.position)
        return [(meaning.trade, meaning.steps + 1)] if meaning else []

    def _is_due(self, amendment: Amendment, trade: Trade) -> bool:
        venue = self._venues[amendment.venue]
        day = venue.date_of(trade.event_ns)
        if amendment.event_ns is not None:
            return day == venue.date_of(amendment.event_ns)
        return day <= venue.date_of(amendment.received_ns)


def means_only_this_session(
    amendment: Amendment, earliest_ns: int | None, session: Session
) -> bool:
    """True if an amendment cannot mean a trade of another session by the name that it has there.

    Ids are unique within a day only. `earliest_ns`: the first receipt of a trade of this session
    with the amendment's name, None without one.
    """
    names_its_day = amendment.event_ns is not None
    is_known = earliest_ns is not None and earliest_ns <= amendment.received_ns
    return names_its_day or (is_known and amendment.received_ns < session.end_ns)
