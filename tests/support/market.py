"""Random but seeded markets: events with every awkward property at a high rate, and Spark rows of
them.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from support.build import NOON, SECOND, cancel, correction, trade
from truetape.market.trades import Cancel, Correction, Event, Position, Trade

CONDITIONS = ((), (), ("@",), ("@", "I"), ("F",), ("Z",), ("T",), ("O",), ("6",), ("@", "nonsense"))
EVENT_ROW = (
    "topic string, partition int, offset bigint, feed string, index int, kind string, "
    "symbol string, venue string, id string, sequence bigint, event_ns bigint, "
    "received_ns bigint, price decimal(18,9), size decimal(18,8), conditions array<string>, "
    "tape string, exchange string"
)


def trades_of(symbol: str, seed: int, count: int, *, ids: str) -> list[Trade]:
    """Make trades crowded into few instants: ties in time, equal prices, odd conditions.

    `ids` is "number", "text", "none" or "sequence".
    """
    rnd = random.Random(seed)
    made = []
    for number in range(count):
        event_ns = NOON + rnd.choice([0, 1, 5, 999_999_999]) + rnd.randrange(8) * 41 * SECOND
        known = str(number * 7) if ids != "text" else f"x{number * 7}-{rnd.randrange(9)}"
        made.append(
            trade(
                str(Decimal(rnd.randrange(99_000, 101_000)).scaleb(-3)),
                str(Decimal(rnd.randrange(1, 5_000)).scaleb(-rnd.choice([0, 0, 2, 8]))),
                symbol=symbol,
                id=None if ids == "none" else known,
                sequence=rnd.randrange(1 << 40) if ids == "sequence" else None,
                event_ns=event_ns,
                received_ns=event_ns + rnd.randrange(3 * SECOND),
                conditions=rnd.choice(CONDITIONS),
                tape=rnd.choice([None, "A", "B", "C"]),
                offset=seed * 1_000 + number,
            )
        )
    return made


def troubled(trades: Sequence[Trade], seed: int) -> list[Event]:
    """Add repeat deliveries, cancels and corrections, some before their trade, and
    shuffle it all.
    """
    rnd = random.Random(seed)
    events: list[Event] = list(trades)
    for one in trades:
        place = Position("trades", 1, one.position.offset)
        after = one.received_ns + rnd.randrange(-5, 60) * SECOND
        if one.id is None:
            continue
        match rnd.randrange(8):
            case 0 | 1:
                events.append(replace(one, position=place, received_ns=after))
            case 2:
                events.append(cancel(one.id, after, place.offset, symbol=one.symbol))
            case 3:
                events.append(
                    correction(one.id, "100.5", "7", after, place.offset, symbol=one.symbol)
                )
    rnd.shuffle(events)
    return events


def event_row(event: Event) -> tuple[object, ...]:
    """Return an event in the columns of `EVENT_ROW`."""
    place = event.position
    where = (place.topic, place.partition, place.offset, event.feed, place.index)
    key = (event.symbol, event.venue, event.id)
    match event:
        case Trade():
            values = (event.price, event.size, list(event.conditions), event.tape, event.exchange)
            times = (event.sequence, event.event_ns, event.received_ns)
            return (*where, "trade", *key, *times, *values)
        case Cancel():
            times = (None, event.event_ns, event.received_ns)
            return (*where, "cancel", *key, *times, None, None, None, None, None)
        case Correction():
            kept = None if event.conditions is None else list(event.conditions)
            times = (None, event.event_ns, event.received_ns)
            return (*where, "correct", *key, *times, event.price, event.size, kept, None, None)
