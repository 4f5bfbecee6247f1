"""Bars of any timeframe from stored ones: values, state, order, and empty intervals."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest

from history.conftest import Read
from support.build import NOON, SECOND, VENUES, at
from support.ledger import publication
from support.serving import bar
from support.session_lake import good_events, lake_session
from truetape.history.timeframe_bars import BarReader, roll_up
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.timeframes import require_timeframe
from truetape.host.venues import venue_named
from truetape.lake.publications import record_publication
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Fill
from truetape.serving.store import BarStore, ServedBar

MINUTE_NS = 60 * SECOND
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
FRIDAY = session(VENUES["XNYS"], date(2024, 11, 22))
FIVE, HOUR, DAILY = Resolution.FIVE_MINUTES, Resolution.HOUR, Resolution.DAY


def part(number: int, **fields: object) -> ServedBar:
    """Build the five minutes with this number, counted from noon, at a price of 100 + number."""
    price = 100.0 + number
    values: dict[str, object] = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
    values |= {"start_ns": NOON + number * 5 * MINUTE_NS, "volume": 10.0, "trades": 2}
    return bar(**(values | fields))


def rolled(*parts: ServedBar) -> ServedBar:
    return roll_up(parts, NOON, 68, is_final=all(one.final for one in parts))


def test_a_rolled_up_bar_has_the_values_of_its_parts() -> None:
    parts = [
        part(0, high=107.0, low=99.0, volume=30.0),
        part(1, close=101.5, vwap=101.25),
        part(2, low=98.0, open=102.25),
    ]

    one = rolled(*parts)

    assert (one.open, one.high, one.low, one.close) == (100.0, 107.0, 98.0, 102.0)
    assert (one.volume, one.trades, one.seq) == (50.0, 6, 68)
    assert one.vwap == (30 * 100.0 + 10 * 101.25 + 10 * 102.0) / 50


def test_a_part_without_priced_volume_has_no_weight_in_the_vwap() -> None:
    one = rolled(part(0, vwap=0.0, volume=90.0), part(1))

    assert (one.vwap, one.volume) == (101.0, 100.0)
    assert rolled(part(0, vwap=0.0)).vwap == 0.0


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([part(0, rev=1), part(1, rev=3), part(2, rev=2)], (True, 3, "batch", False)),
        ([part(0), part(1, final=False, rev=0, layer="speed")], (False, 1, "speed", False)),
        ([part(0, final=False, rev=1), part(1)], (False, 1, "batch", False)),
        ([part(0, void=True, rev=4), part(1)], (True, 4, "batch", False)),
        ([part(0, void=True, rev=4), part(1, void=True)], (True, 4, "batch", True)),
    ],
    ids=[
        "highest rev",
        "a provisional part",
        "a part not sealed",
        "a void part",
        "void parts only",
    ],
)
def test_a_rolled_up_bar_is_final_if_all_its_parts_are_and_has_their_highest_rev(
    parts: Sequence[ServedBar], state: tuple[bool, int, str, bool]
) -> None:
    one = rolled(*parts)

    assert (one.final, one.rev, one.layer, one.void) == state


def test_the_prices_of_a_void_part_do_not_count() -> None:
    zeros = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 0.0)
    gone = part(0, void=True, trades=0, **zeros)

    one, nothing = rolled(gone, part(1)), rolled(gone)

    assert (one.open, one.low, one.trades) == (101.0, 101.0, 2)
    assert (nothing.open, nothing.volume, nothing.trades, nothing.void) == (0.0, 0.0, 0, True)


def test_bars_of_two_symbols_and_venues_stay_apart_and_in_order(
    read: Read, store: BarStore
) -> None:
    for symbol, venue in (("IBM", "XNYS"), ("KO", "XNYS"), ("IBM", "ARCX")):
        store.write(FIVE, [part(number, symbol=symbol, venue=venue) for number in range(6)])

    frame = read(["KO", "IBM"], "2026-11-20", resolution="15m")

    assert [*zip(frame["symbol"], frame["venue"], frame.index.minute, strict=True)] == [
        ("IBM", "ARCX", 0), ("IBM", "ARCX", 15), ("IBM", "XNYS", 0), ("IBM", "XNYS", 15),
        ("KO", "XNYS", 0), ("KO", "XNYS", 15),
    ]  # fmt: skip
    assert set(frame["volume"]) == {30.0}


def test_a_bar_at_the_end_of_the_period_has_its_parts_after_it(read: Read, store: BarStore) -> None:
    store.write(FIVE, [part(number) for number in range(6)])

    frame = read("IBM", "2026-11-20T16:59:00Z", "2026-11-20T17:05:00Z", resolution="15m")

    assert frame["close"].tolist() == [102.0]


def test_hours_from_the_open_begin_at_half_past_nine(read: Read, store: BarStore) -> None:
    store.write(FIVE, [part(number) for number in range(12)])

    frame = read("IBM", "2026-11-20", resolution="1h", origin="open", index="session")

    assert [str(start)[11:16] for start in frame["start"]] == ["16:30", "17:30"]
    assert frame["volume"].tolist() == [60.0, 60.0]
    assert frame.index.get_level_values("seq").tolist() == [12, 13]


def test_a_night_session_counts_from_its_open_on_the_evening_before(
    read: Read, store: BarStore
) -> None:
    """Chicago opens at 17:00, 23:00 UTC in winter; one bar ends and one begins there."""
    evening = at("2026-11-19T22:50:00")
    store.write(
        HOUR,
        [
            part(number, venue="XCME", start_ns=evening - 50 * MINUTE_NS + number * HOUR_NS)
            for number in range(8)
        ],
    )

    options = {"venue": "XCME", "resolution": "6h", "origin": "open", "index": "session"}

    frame = read("IBM", "2026-11-19", **options)

    assert [f"{start:%d %H:%M}" for start in frame["start"]] == ["19 17:00", "19 23:00", "20 05:00"]
    assert [(f"{day:%d}", seq) for day, seq in frame.index] == [("19", 3), ("20", 0), ("20", 1)]
    assert frame["volume"].tolist() == [10.0, 60.0, 10.0]


def days(*dates: str, **fields: object) -> list[ServedBar]:
    """Build daily bars of these dates of November 2026, at a price of 100 + day."""
    made = []
    for text in dates:
        day = session(VENUES["XNYS"], date(2026, 11, int(text)))
        made.append(part(int(text), start_ns=day.open_ns, seq=0, **fields))
    return made


def publish(here: Settings, *dates: str) -> None:
    for text in dates:
        day = date(2026, 11, int(text))
        record_publication(here.lake, replace(publication(1), session=day, venue="XNYS"))


def test_a_week_is_final_when_all_its_sessions_were_published(
    here: Settings, read: Read, store: BarStore
) -> None:
    """Wednesday the 11th was not published yet, and has no daily bar."""
    store.write(DAILY, days("9", "10", "12", "13", "16", "17", "18", "19", "20"))
    publish(here, "9", "10", "12", "13", "16", "17", "18", "19", "20")

    frame = read("IBM", "2026-11-01", resolution="1w")

    assert [str(start)[:16] for start in frame.index] == ["2026-11-09 14:30", "2026-11-16 14:30"]
    assert frame["final"].tolist() == [False, True]
    assert frame["volume"].tolist() == [40.0, 50.0]
    assert frame[["open", "close"]].iloc[1].tolist() == [116.0, 120.0]


def test_a_month_is_a_calendar_month_of_session_dates(
    here: Settings, read: Read, store: BarStore
) -> None:
    store.write(DAILY, [*days("2", "30"), *days("9", symbol="KO", final=False)])

    frame = read(["IBM", "KO"], "2026-11-01", resolution="1M")

    assert [str(start)[:16] for start in frame.index] == ["2026-11-02 14:30"] * 2
    assert frame["close"].tolist() == [130.0, 109.0]
    assert not frame["final"].any()


def test_the_tail_has_whole_bars_only(here: Settings, store: BarStore) -> None:
    store.write(FIVE, [part(number) for number in range(100)])
    reader = BarReader(here, require_timeframe("30m"))

    newest = reader.tail(store, "IBM", 3)

    assert [(one.start_ns - NOON) // MINUTE_NS for one in newest] == [420, 450, 480]
    assert [one.volume for one in newest] == [60.0, 60.0, 40.0]
    assert [one.open for one in newest] == [184.0, 190.0, 196.0]


def test_the_tail_before_an_instant_is_of_each_venue(here: Settings, store: BarStore) -> None:
    for venue in ("ARCX", "XNYS"):
        store.write(FIVE, [part(number, venue=venue) for number in range(30)])
    reader = BarReader(here, require_timeframe("15m"))

    newest = reader.tail(store, "IBM", 2, end_ns=NOON + 31 * MINUTE_NS)

    assert [(one.venue, (one.start_ns - NOON) // MINUTE_NS) for one in newest] == [
        ("ARCX", 15), ("ARCX", 30), ("XNYS", 15), ("XNYS", 30),
    ]  # fmt: skip
    assert {one.volume for one in newest} == {30.0}


def test_the_tail_is_all_there_is_if_that_is_less(here: Settings, store: BarStore) -> None:
    store.write(FIVE, [part(number) for number in range(4)])

    assert len(BarReader(here, require_timeframe("15m")).tail(store, "IBM", 50)) == 2


def test_empty_intervals_repeat_the_close_and_say_so(read: Read, store: BarStore) -> None:
    store.write(FIVE, [part(0), part(1), part(9)])

    frame = read("IBM", "2026-11-20", "2026-11-20T18:15:00Z", resolution="15m", fill="previous")

    assert frame["close"].tolist() == [101.0, 101.0, 101.0, 109.0, 109.0]
    assert frame["layer"].tolist() == ["batch", "fill", "fill", "batch", "fill"]
    assert frame["open"].tolist() == [100.0, 101.0, 101.0, 109.0, 109.0]
    assert frame["volume"].tolist() == [20.0, 0.0, 0.0, 10.0, 0.0]
    assert frame["trades"].tolist() == [4, 0, 0, 2, 0]
    assert frame["vwap"].isna().tolist() == [False, True, True, False, True]
    assert frame["final"].all()
    assert frame["rev"].tolist() == [1, 0, 0, 1, 0]
    assert frame["seq"].tolist() == [48, 49, 50, 51, 52]


def test_an_interval_of_a_provisional_session_is_filled_provisionally(
    read: Read, store: BarStore
) -> None:
    store.write(FIVE, [part(0), part(288 * 3, layer="speed", final=False, rev=0)])

    frame = read("IBM", "2026-11-20", resolution="4h", origin="open", fill="previous")

    assert [f"{start:%d %H:%M}" for start in frame.index] == [
        "20 14:30", "20 18:30", "23 14:30", "23 18:30",
    ]  # fmt: skip
    assert frame["final"].tolist() == [True, True, False, False]
    friday_evening_to_monday = read("IBM", "2026-11-20", resolution="1h", fill="previous")
    monday = friday_evening_to_monday[friday_evening_to_monday.index.day == 23]
    assert not monday["final"].any()


def test_stored_widths_are_filled_too_and_a_void_bar_is_an_empty_interval(
    read: Read, store: BarStore
) -> None:
    store.write(HOUR, [part(0, start_ns=NOON), part(1, start_ns=NOON + HOUR_NS, void=True),
                       part(2, start_ns=NOON + 2 * HOUR_NS)])  # fmt: skip

    frame = read("IBM", "2026-11-20", resolution="1h", fill="previous")

    assert frame["layer"].tolist() == ["batch", "fill", "batch", "fill"]
    assert frame["close"].tolist() == [100.0, 100.0, 102.0, 102.0]


def test_a_day_on_which_a_symbol_was_not_traded_is_filled(
    here: Settings, read: Read, store: BarStore
) -> None:
    store.write(DAILY, days("18", "20", "23"))
    publish(here, "19")

    frame = read("IBM", "2026-11-18", resolution="1d", fill="previous")

    assert [start.day for start in frame.index] == [18, 19, 20, 23]
    assert frame["final"].tolist() == [True] * 4
    assert frame["close"].tolist() == [118.0, 118.0, 120.0, 123.0]


def test_nothing_in_the_future_is_filled(here: Settings, store: BarStore) -> None:
    store.write(FIVE, [part(0)])
    known_ns = NOON + 44 * MINUTE_NS
    reader = BarReader(here, require_timeframe("15m"), Fill.PREVIOUS, known_ns)

    read = list(reader.read(store, NOON, NOON + DAY_NS))

    assert [(one.start_ns - NOON) // MINUTE_NS for one in read] == [0, 15]


def test_as_of_returns_rolled_up_bars_of_what_was_received(here: Settings, read: Read) -> None:
    lake_session(good_events()).write(here.lake)
    options = {"venue": "XNYS", "as_of": "2024-11-22T14:31:00Z"}

    minutes = read("IBM", "2024-11-22", **options)
    quarters = read("IBM", "2024-11-22", resolution="15m", **options)

    assert len(quarters) == 1
    assert quarters["volume"].sum() == minutes["volume"].sum() > 0
    assert not quarters["final"].any()


def test_an_open_off_the_grid_is_refused_and_not_rounded(here: Settings, store: BarStore) -> None:
    """A venue that opened at 09:59 once cannot have bars from the open out of 5m bars."""
    store.write(FIVE, [part(0)])
    reader = BarReader(here, require_timeframe("1h", "open"))

    with pytest.MonkeyPatch.context() as patch:
        off = replace(session(venue_named("XNYS"), date(2026, 11, 20)), open_ns=NOON - 60 * SECOND)
        patch.setattr("truetape.history.timeframe_bars.session_at", lambda *_: off)
        with pytest.raises(Exception, match="XNYS opened off the grid of 5m on 2026-11-20"):
            list(reader.read(store, NOON, NOON + DAY_NS, venue="XNYS"))
