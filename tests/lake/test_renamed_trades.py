"""Corrections that give trades new ids, across sessions: every reader finds the same trades."""

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from support.build import NOON, SECOND, VENUES, cancel, correction, trade
from support.raw import put_records
from truetape.batch.affected_sessions import affected_sessions
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.host.calendars import session
from truetape.kernel.columns import DELIVERIES
from truetape.kernel.settle import settle
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.events import RawEvents
from truetape.market.canonical import CanonicalTrade, canonical, changes_of
from truetape.market.trades import Amendment, Event, Trade

DAY_NS = 86_400 * SECOND
XNYS = VENUES["XNYS"]
DATES = [XNYS.date_of(NOON + day * DAY_NS) for day in (-2, -1, 0)]


def put(lake: Path, events: Sequence[Event]) -> RawEvents:
    records = [
        Record(encode(one).encode(), one.feed, one.symbol, one.received_ns) for one in events
    ]
    put_records(str(lake), records)
    return RawEvents(str(lake))


def random_events(seed: int) -> list[Event]:
    """Trades of three days with ids that come again, and amendments by any id that there is."""
    draw = random.Random(seed)
    events: list[Event] = []
    ids: list[str] = []
    for number in range(60):
        at = NOON + draw.randrange(-2, 1) * DAY_NS + draw.randrange(3_600) * SECOND
        luck = draw.random()
        if luck < 0.4 or not ids:
            name = str(draw.randrange(6))
            late = draw.choice([0, 0, DAY_NS // 2])
            events.append(
                trade("1", "5", id=name, event_ns=at, received_ns=at + late, offset=number)
            )
        elif luck < 0.85:
            name, given = (
                draw.choice(ids),
                draw.choice([None, f"n{number}", str(draw.randrange(6))]),
            )
            events.append(
                correction(name, str(number), "5", at + DAY_NS // 3, number, new_id=given)
            )
            named = [each for each in events if isinstance(each, Trade) and each.id == name]
            if given and named and draw.random() < 0.5:
                price, offset = draw.choice(["1", str(number)]), 500 + number
                of = draw.choice(named)
                events.append(
                    trade(price, "5", id=given, event_ns=of.event_ns, received_ns=at, offset=offset)
                )
        else:
            name, given = draw.choice(ids), None
            events.append(cancel(name, at + DAY_NS // 2, number))
        ids += [each for each in (name, given if luck >= 0.4 and ids else None) if each]
    return events


def in_force(items: Sequence[CanonicalTrade], day: date) -> list[tuple[object, ...]]:
    return [
        (item.trade.id, item.trade.price, item.duplicate, item.cancelled, item.corrected)
        for item in items
        if XNYS.date_of(item.trade.event_ns) == day
    ]


def settled_from(raw: RawEvents, day: date) -> list[tuple[object, ...]]:
    deliveries = SessionDeliveries(raw, session(XNYS, day))
    rows = pa.concat_tables([DELIVERIES.empty_table(), *deliveries.tables()]).combine_chunks()
    columns = ["id", "price", "duplicate", "cancelled", "corrected"]
    table = settle(rows, VENUES, day=day).sort_by("ordinal").select(columns)
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("seed", range(8))
def test_each_session_is_settled_as_if_all_events_were_known(tmp_path: Path, seed: int) -> None:
    raw = put(tmp_path, random_events(seed))
    events = [item.event for day in DATES for item in raw.of_symbol(session(XNYS, day), "IBM")]
    known = list({event.position: event for event in events}.values())
    whole = canonical(known, VENUES).trades

    for day in DATES:
        assert settled_from(raw, day) == in_force(whole, day)


@pytest.mark.parametrize("seed", range(8))
def test_a_symbol_s_events_settle_its_session_alone(tmp_path: Path, seed: int) -> None:
    """What the lineage of a bar and bars as of an instant are made from."""
    raw = put(tmp_path, random_events(seed))

    for day in DATES:
        events = [item.event for item in raw.of_symbol(session(XNYS, day), "IBM")]
        assert in_force(canonical(events, VENUES).trades, day) == settled_from(raw, day)


@pytest.mark.parametrize("seed", range(8))
def test_the_changes_of_changed_trades_are_found_by_any_of_their_ids(
    tmp_path: Path, seed: int
) -> None:
    """What drift attributes changes to."""
    raw = put(tmp_path, random_events(seed))
    for day in DATES:
        one = session(XNYS, day)
        events = [item.event for item in raw.of_symbol(one, "IBM")]
        trades = [event for event in events if isinstance(event, Trade)]
        own = [event for event in trades if one.contains(event.event_ns)]
        expected = changes_of(trades, others(events), VENUES).by_trade

        names = {("truetape", "XNYS", "IBM", event.id or "") for event in own}
        found = raw.amendments(one, names)
        elsewhere = raw.elsewhere(one, found, own)
        candidates = [*own, *(event for event in elsewhere if isinstance(event, Trade))]
        meant = changes_of(candidates, [*found, *others(elsewhere)], VENUES).by_trade

        for event in own:
            assert meant.get(event.position) == expected.get(event.position)


def others(events: Sequence[Event]) -> list[Amendment]:
    return [event for event in events if not isinstance(event, Trade)]


def test_a_later_message_affects_the_session_of_the_trade_that_had_another_id(
    tmp_path: Path,
) -> None:
    old = [
        trade("1", id="1", event_ns=NOON - DAY_NS, received_ns=NOON - DAY_NS),
        correction("1", "2", "5", NOON - DAY_NS + SECOND, new_id="2"),
    ]
    raw = put(tmp_path, [*old, cancel("2", NOON)])
    newest = pc.field("received_ns") == NOON

    found = affected_sessions(lambda: raw.event_tables(newest), raw, VENUES)

    assert found.places == [("XNYS", DATES[1], "IBM")]
    assert settled_from(raw, DATES[1])[0][3] is True
