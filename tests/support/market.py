"""Markets drawn by Hypothesis: every awkward property of events at a high rate.

Draws are small numbers with the boring value first, so that a failing market shrinks to few events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from support.build import NOON, SECOND, at, cancel, correction, trade
from truetape.market.trades import Correction, Event, Trade

OPENS, CLOSES = at("2026-11-20T14:30:00"), at("2026-11-20T21:00:00")
"""The regular session of the day that all drawn events lie in."""
EDGES = (OPENS - 1, OPENS, NOON - 1, CLOSES - 1, CLOSES, CLOSES + 75 * SECOND)
MOMENTS = st.one_of(
    st.builds(
        lambda bar, inside: NOON + bar * 41 * SECOND + inside,
        st.integers(0, 7),
        st.sampled_from([0, 1, 5, SECOND // 2, SECOND - 1]),
    ),
    st.integers(-7_300, 7_300).map(lambda quarter: NOON + quarter * SECOND // 4),
    st.sampled_from(EDGES),
)
"""Few instants, so that ties and full bars are many; sometimes the hour around, or an edge."""
PRICES = st.builds(
    lambda steps, scale: str(Decimal(100_000 + steps).scaleb(-scale)),
    st.integers(-999, 999),
    st.sampled_from([3, 3, 9, 18]),
)
SIZES = st.builds(
    lambda steps, scale: str(Decimal(steps).scaleb(-scale)),
    st.integers(0, 5_000),
    st.sampled_from([0, 0, 2, 8, 17]),
)
UNIQUE_IDS = (None, "{n}", "x{n}", "X-{n}", "00{n}", "9999999999999999{n:03}")
"""Numbers, text, numbers with leading zeros, and one digit more than a number may have."""
SHARED_IDS = (*UNIQUE_IDS, "x1", "1")
"""The same, and ids that several trades have: the first delivery decides."""
CONDITIONS = ((), ("@",), ("Z",), ("I",), ("9",), ("6",), ("O", "X"), ("T", "I"), ("nonsense",))
LEAN_CONDITIONS = (("5",), ("13", "29"), ("29",), ("24", "31"), ("suspicious",))
TAPES = (None, "A", "B", "C")


@st.composite
def trades(
    draw: st.DrawFn,
    ids: Sequence[str | None] = UNIQUE_IDS,
    conditions: Sequence[tuple[str, ...]] = CONDITIONS,
    tapes: Sequence[str | None] = TAPES,
    most: int = 10,
) -> list[Trade]:
    """Draw the trades of one symbol, each with its own position; ids, ties and conditions mixed."""
    made = []
    for number in range(draw(st.integers(1, most))):
        name, event_ns = draw(st.sampled_from(ids)), draw(MOMENTS)
        made.append(
            trade(
                draw(PRICES),
                draw(SIZES),
                id=name and name.format(n=number),
                sequence=draw(st.sampled_from([None, None, None, 1, 2, 1 << 40])),
                event_ns=event_ns,
                received_ns=event_ns + draw(st.integers(0, 90)) * SECOND,
                conditions=draw(st.sampled_from(conditions)),
                tape=draw(st.sampled_from(tapes)),
                offset=number,
            )
        )
    return made


@st.composite
def events(
    draw: st.DrawFn,
    conditions: Sequence[tuple[str, ...]] = CONDITIONS,
    tapes: Sequence[str | None] = TAPES,
) -> list[Event]:
    """Draw trades with shared ids, cancels and corrections, some received before their trade; some
    corrections give their trade a new id, which later amendments may name, under which the trade
    may come again, and which another trade may have.
    """
    prints = draw(trades(SHARED_IDS, conditions, tapes))
    named = [(one, one.id) for one in prints if one.id is not None]
    amendments: list[Event] = []
    for _ in range(draw(st.integers(0, 4)) if named else 0):
        meant, name = draw(st.sampled_from(named))
        received_ns = meant.received_ns + draw(st.integers(-100, 100)) * SECOND
        offset = 1_000 + len(amendments)
        fields = {"event_ns": draw(st.sampled_from([None, meant.event_ns, NOON]))}
        if draw(st.booleans()):
            amendments.append(cancel(name, received_ns, offset, **fields))
        else:
            new_id = draw(st.sampled_from([None, f"n{offset}", named[0][1], named[-1][1]]))
            fields |= {
                "conditions": draw(st.sampled_from([None, *conditions])), "new_id": new_id,
            }  # fmt: skip
            values = draw(PRICES), draw(SIZES)
            corrected = correction(name, *values, received_ns, offset, **fields)
            amendments.append(corrected)
            named += [(meant, new_id)] if new_id else []
            if new_id and draw(st.booleans()):
                prints.append(_resent(meant, corrected, draw(st.integers(-100, 100))))
    return [*prints, *amendments]


def _resent(meant: Trade, corrected: Correction, seconds: int) -> Trade:
    """Return a trade as it comes again under the id that a correction gave it."""
    return replace(
        meant,
        id=corrected.new_id,
        price=corrected.price,
        size=corrected.size,
        received_ns=corrected.received_ns + seconds * SECOND,
        position=replace(meant.position, offset=corrected.position.offset + 1_000),
    )


def again(trade: Trade, offset: int, received_ns: int) -> Trade:
    """Return a second delivery of a trade: the same print at another position."""
    place = replace(trade.position, offset=offset)
    return replace(trade, position=place, received_ns=received_ns)


def markets(
    of_a_symbol: st.SearchStrategy[list[Event]], most: int
) -> st.SearchStrategy[dict[str, list[Event]]]:
    """Draw independent markets of up to `most` symbols, by symbol."""
    # as many as a number says: a list of its own accord stays near its least length
    sized = st.integers(1, most).flatmap(
        lambda size: st.lists(of_a_symbol, min_size=size, max_size=size)
    )
    return sized.map(placed)


def placed(drawn: Sequence[Sequence[Event]]) -> dict[str, list[Event]]:
    """Give each market a symbol of its own, and offsets that no other one has."""
    return {
        f"S{number}": [_placed(event, f"S{number}", number) for event in market]
        for number, market in enumerate(drawn)
    }


def _placed(event: Event, symbol: str, number: int) -> Event:
    offset = number * 10_000 + event.position.offset % 10_000
    return replace(event, symbol=symbol, position=replace(event.position, offset=offset))


def second_deliveries(happened: Iterable[Event]) -> list[Event]:
    """Every trade that has an id once more, received later."""
    return [
        again(event, event.position.offset + 5_000, event.received_ns + 1_000 * SECOND)
        for event in happened
        if isinstance(event, Trade) and event.id is not None
    ]
