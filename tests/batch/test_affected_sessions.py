"""Which sessions and symbols new events affect, beside what dirty marks show."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pytest

from support.build import VENUES, at, cancel, trade
from support.raw import put_records
from truetape.batch.affected_sessions import Affected, affected_sessions
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError
from truetape.lake.events import RawEvents
from truetape.market.trades import Event

NOON = at("2026-11-20T17:00:00")
LATE_IN_NEW_YORK = at("2026-11-21T04:59:59")
"""Still the 20th there."""


def put(lake: str, events: Sequence[Event]) -> RawEvents:
    records = [
        Record(encode(one).encode(), one.feed, one.symbol, one.received_ns) for one in events
    ]
    put_records(lake, records)
    return RawEvents(lake)


def affected(raw: RawEvents, most: int | None = None) -> Affected:
    return affected_sessions(lambda: raw.event_tables(pc.scalar(True)), raw, VENUES, most)


def test_events_count_for_the_day_of_their_venue_and_not_for_unknown_venues(
    tmp_path: Path,
) -> None:
    raw = put(
        str(tmp_path),
        [
            trade(id="1", event_ns=NOON),
            trade(id="2", event_ns=LATE_IN_NEW_YORK),
            trade(id="1", symbol="XBT", venue="KRAKEN", event_ns=LATE_IN_NEW_YORK),
            trade(id="3", symbol="GONE", venue="ELSEWHERE", event_ns=NOON),
            cancel("3", NOON, symbol="GONE", venue="ELSEWHERE"),
            cancel("2", LATE_IN_NEW_YORK),
        ],
    )

    found = affected(raw)

    assert [(venue, str(day), symbol) for venue, day, symbol in found.places] == [
        ("KRAKEN", "2026-11-21", "XBT"),
        ("XNYS", "2026-11-20", "IBM"),
    ]
    assert sum(found.trades.values()) == 3
    assert sum(found.amendments.values()) == 1


def test_more_places_than_a_plan_may_list_are_an_error(tmp_path: Path) -> None:
    raw = put(
        str(tmp_path), [trade(id="1", symbol=f"S{number}", event_ns=NOON) for number in range(9)]
    )
    assert len(affected(raw, 9).places) == 9

    with pytest.raises(ConfigError, match="over 8 sessions and symbols"):
        affected(raw, 8)
