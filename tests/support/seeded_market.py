"""One crowded market from a seed, with every trouble in it, where a test needs no search."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from support.build import NOON, SECOND, cancel, correction, trade
from truetape.market.trades import Event, Position, Trade

CONDITIONS = ((), (), ("@",), ("@", "I"), ("F",), ("Z",), ("T",), ("O",), ("6",), ("@", "nonsense"))


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
