"""A crowded market from a seed, with every kind of fault, for tests that need no search."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from support.build import NOON, SECOND, cancel, correction, trade
from truetape.market.trades import Event, Position, Trade

CONDITIONS = ((), (), ("@",), ("@", "I"), ("F",), ("Z",), ("T",), ("O",), ("6",), ("@", "nonsense"))


def trades_of(symbol: str, seed: int, count: int, *, ids: str) -> list[Trade]:
    """Return trades within few instants: equal times, equal prices, odd conditions.

    `ids` is "number", "text", "none" or "sequence".
    """
    rnd = random.Random(seed)
    trades = []
    for number in range(count):
        event_ns = NOON + rnd.choice([0, 1, 5, 999_999_999]) + rnd.randrange(8) * 41 * SECOND
        trade_id = str(number * 7) if ids != "text" else f"x{number * 7}-{rnd.randrange(9)}"
        trades.append(
            trade(
                str(Decimal(rnd.randrange(99_000, 101_000)).scaleb(-3)),
                str(Decimal(rnd.randrange(1, 5_000)).scaleb(-rnd.choice([0, 0, 2, 8]))),
                symbol=symbol,
                id=None if ids == "none" else trade_id,
                sequence=rnd.randrange(1 << 40) if ids == "sequence" else None,
                event_ns=event_ns,
                received_ns=event_ns + rnd.randrange(3 * SECOND),
                conditions=rnd.choice(CONDITIONS),
                tape=rnd.choice([None, "A", "B", "C"]),
                offset=seed * 1_000 + number,
            )
        )
    return trades


def troubled(trades: Sequence[Trade], seed: int) -> list[Event]:
    """Add duplicates, cancels and corrections, some received before their trade, and shuffle."""
    rnd = random.Random(seed)
    events: list[Event] = list(trades)
    for original in trades:
        place = Position("trades", 1, original.position.offset)
        after = original.received_ns + rnd.randrange(-5, 60) * SECOND
        if original.id is None:
            continue
        match rnd.randrange(8):
            case 0 | 1:
                events.append(replace(original, position=place, received_ns=after))
            case 2:
                events.append(cancel(original.id, after, place.offset, symbol=original.symbol))
            case 3:
                events.append(
                    correction(
                        original.id, "100.5", "7", after, place.offset, symbol=original.symbol
                    )
                )
    rnd.shuffle(events)
    return events
