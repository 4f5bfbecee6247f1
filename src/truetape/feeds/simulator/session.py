"""Simulated sessions: records in any feed's format, and the true events and trades behind them.

One seed gives the same bytes everywhere. Reads no network and writes nothing; the live mode only
waits.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from random import Random

from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import (
    DeliveryKind,
    Faults,
    SimulatedDelivery,
    Trouble,
    TroubleCause,
    broken_payload,
    deliveries,
    frames,
    outage,
)
from truetape.feeds.simulator.formats import format_of
from truetape.feeds.simulator.market import SECOND, MarketShape, SimulatedPrint, prints
from truetape.feeds.simulator.wire_format import Format, tape_of
from truetape.host.calendars import session
from truetape.host.errors import ConfigError
from truetape.host.venues import venues
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Cancel, Correction, Event, Position, Trade

MAX_TRADES = 5_000_000
"""A trade takes about a kilobyte: the session is complete in memory before it is sent."""
MAX_S = 604_800
"""Longest offset and duration: a week."""
MAX_SYMBOLS = 10_000
EXTENDED_HOURS = 3_600 * SECOND
"""How long before the open and after the close a whole session has prints."""
SOURCE = "simulated"
"""The topic of the positions in the truth. The offset is the record's number in the session."""

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_:-]{0,31}")


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What to simulate. `trades` counts true prints, without repeats and amendments.

    Without `offset_s` and `duration_s` it is the whole session, with an hour of extended hours on
    either side at US venues; `offset_s` counts from the open. `starts_ns` puts the window at an
    instant instead, as the live mode needs, for one minute unless `duration_s` says otherwise.
    """

    day: date
    feed: str = "truetape"
    venue: str | None = None
    seed: int = 0
    symbols: tuple[str, ...] = ("IBM", "MSFT", "AAPL")
    trades: int = 100_000
    offset_s: float | None = None
    duration_s: float | None = None
    starts_ns: int | None = None
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if not 0 < self.trades <= MAX_TRADES:
            raise ConfigError(f"{self.trades} trades; simulate 1 to {MAX_TRADES}")
        if not 0 < len(set(self.symbols)) == len(self.symbols) <= MAX_SYMBOLS:
            raise ConfigError(f"{len(self.symbols)} symbols; give 1 to {MAX_SYMBOLS}, each once")
        for symbol in self.symbols:
            if not _SYMBOL.fullmatch(symbol):
                raise ConfigError(f"symbol {symbol!r} is invalid; use letters and digits")
        offset_s, duration_s = self.offset_s or 0, self.duration_s
        if not (0 <= offset_s <= MAX_S and (duration_s is None or 0 < duration_s <= MAX_S)):
            raise ConfigError(
                f"the offset must be at least 0 seconds, the duration more than 0; both {MAX_S:,} "
                "at most"
            )


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened. `events` are the events to accept, as decoded, in order of arrival.
    `trades` are the trades in force at the end, with final values, in total order.
    """

    events: tuple[Event, ...]
    trades: tuple[Trade, ...]
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True)  # no slots: `truth` is a cached property
class SimulatedSession:
    """The records of a session in order of arrival, and the truth about them."""

    plan: SimulationPlan
    venue: str
    records: tuple[Record, ...]
    troubles: tuple[Trouble, ...]
    _frames: tuple[tuple[SimulatedDelivery, ...], ...]

    @cached_property
    def truth(self) -> Truth:
        """The true events and trades, from the simulation itself and not from a decoder or fold."""
        return _truth(self)


def simulate(plan: SimulationPlan) -> SimulatedSession:
    """Simulate a session. Raise ConfigError if feed, venue and day do not fit each other."""
    form = format_of(plan.feed)
    venue = _venue(plan, form)
    random = Random(plan.seed)  # noqa: S311 - reproducible on purpose
    shape = _shape(plan, venue, form, random)
    items = prints(shape, plan.trades, random)
    made, troubles = deliveries(items, plan.faults, form, shape, random.random)
    if shape.silent[1] > shape.silent[0]:
        troubles.append(Trouble(TroubleCause.OUTAGE, None, None, *shape.silent))
    groups = tuple(tuple(group) for group in frames(made, form.most))
    records = tuple(
        Record(
            _payload(form, group, venue.code),
            plan.feed,
            group[0].item.symbol,
            group[-1].received_ns,
        )
        for group in groups
    )
    return SimulatedSession(plan, venue.code, records, tuple(troubles), groups)


def _venue(plan: SimulationPlan, form: Format) -> Venue:
    code = form.venue or plan.venue or "XNYS"
    if plan.venue is not None and plan.venue != code:
        raise ConfigError(f"feed {plan.feed} has venue {code}, not {plan.venue}")
    if code not in venues():
        raise ConfigError(f"venue {code!r} is not declared; known are {', '.join(venues())}")
    return venues()[code]


def _shape(plan: SimulationPlan, venue: Venue, form: Format, random: Random) -> MarketShape:
    starts_ns = plan.starts_ns
    day = session(venue, plan.day if starts_ns is None else venue.date_of(starts_ns))
    exchange = form.equity and venue.calendar is not None
    equity = exchange and venue.us_equities
    first, last = _window(plan, day, EXTENDED_HOURS if equity else 0)
    first -= first % form.grid_ns
    return MarketShape(
        plan.symbols,
        first,
        last,
        open_ns=day.open_ns if exchange else None,
        close_ns=day.close_ns if exchange else None,
        auction_ns=day.auction_ns if exchange else None,
        silent=outage(plan.faults, (first, last), form.grid_ns, random.random),
        grid_ns=form.grid_ns,
        equity=equity,
        whole=exchange,
    )


def _window(plan: SimulationPlan, day: Session, extended_ns: int) -> tuple[int, int]:
    """Return the first instant of the prints, and the end."""
    duration_ns = None if plan.duration_s is None else int(plan.duration_s * SECOND)
    if plan.starts_ns is not None:
        return plan.starts_ns, plan.starts_ns + (duration_ns or 60 * SECOND)
    if day.open_ns is None or day.close_ns is None:
        raise ConfigError(f"{day.venue} is closed on {day.date}; choose a day with a session")
    _, auction_end = day.auction_ns or (0, 0)
    last = min(max(day.close_ns + extended_ns, auction_end), day.end_ns)
    if plan.offset_s is None and duration_ns is None:
        return max(day.open_ns - extended_ns, day.start_ns), last
    first = day.open_ns + int((plan.offset_s or 0) * SECOND)
    if first >= last:
        raise ConfigError(f"an offset of {plan.offset_s} s is after the end of {day.date}")
    return first, last if duration_ns is None else first + duration_ns


def _payload(form: Format, group: tuple[SimulatedDelivery, ...], venue: str) -> bytes:
    head, received = group[0], group[-1].received_ns

    def encode(item: SimulatedPrint) -> bytes:
        return _wrapped(form, [form.trade(item, received, venue)], item.symbol)

    match head.kind:
        case DeliveryKind.CANCEL if form.cancel:
            return _wrapped(form, [form.cancel(head.item, received, venue)], head.item.symbol)
        case DeliveryKind.CORRECT if form.correct and head.new:
            text = form.correct(head.item, head.new, received, venue)
            return _wrapped(form, [text], head.item.symbol)
        case DeliveryKind.MALFORMED:
            return broken_payload(head.broken, head.item, encode)
        case _:
            texts = [form.trade(delivery.item, received, venue) for delivery in group]
            return _wrapped(form, texts, head.item.symbol)


def _wrapped(form: Format, records: list[str], symbol: str) -> bytes:
    text = form.frame(records, symbol) if form.frame else records[0]
    return text.encode()


def _truth(made: SimulatedSession) -> Truth:
    form = format_of(made.plan.feed)
    events: list[Event] = []
    in_force: dict[tuple[str, int], Trade] = {}
    for offset, group in enumerate(made._frames):
        for index, delivery in enumerate(group):
            position = Position(SOURCE, 0, offset, index)
            event = _event(made, form, delivery, group[-1].received_ns, position)
            if event is None:
                continue
            events.append(event)
            key = (delivery.item.symbol, delivery.item.number)
            match delivery.kind:
                case DeliveryKind.TRADE if isinstance(event, Trade):
                    in_force[key] = event
                case DeliveryKind.CANCEL:
                    del in_force[key]
                case DeliveryKind.CORRECT if isinstance(event, Correction):
                    in_force[key] = replace(in_force[key], price=event.price, size=event.size)
    trades = sorted(in_force.values(), key=lambda trade: trade.order)
    return Truth(tuple(events), tuple(trades), made.troubles)


def _event(
    made: SimulatedSession,
    form: Format,
    delivery: SimulatedDelivery,
    received_ns: int,
    position: Position,
) -> Event | None:
    """Return the event of a delivery, None if decoders must reject it."""
    feed, venue, item = made.plan.feed, made.venue, delivery.item
    match delivery.kind:
        case DeliveryKind.FUTURE | DeliveryKind.MALFORMED:
            return None
        case DeliveryKind.CANCEL:
            trade_id = form.id_of(item)
            return Cancel(feed, venue, item.symbol, trade_id, None, received_ns, position)
        case DeliveryKind.CORRECT if delivery.new:
            return Correction(
                feed=feed,
                venue=venue,
                symbol=item.symbol,
                id=form.id_of(item),
                event_ns=None,
                received_ns=received_ns,
                price=Decimal(delivery.new.price),
                size=Decimal(delivery.new.size),
                conditions=item.conditions if form.recodes else None,
                new_id=form.new_id_of(item),
                position=position,
            )
    return Trade(
        feed=feed,
        venue=venue,
        symbol=item.symbol,
        id=form.id_of(item) if form.ids else None,
        sequence=item.number if form.sequence else None,
        event_ns=item.event_ns,
        received_ns=received_ns,
        price=Decimal(item.price),
        size=Decimal(item.size),
        conditions=item.conditions if form.conditions else (),
        tape=tape_of(venue) if form.conditions and item.exchange else None,
        exchange=item.exchange if form.conditions else form.exchange,
        position=position,
    )
