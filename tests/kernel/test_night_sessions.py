"""Sessions over midnight and closing auctions: the kernel has the reference's sessions and bars."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import SECOND, at, cancel, trade
from support.kernel_rows import deliveries_of
from support.machines import examples
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_rows import bar_rows, trade_rows
from truetape.host.calendars import sessions
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.kernel import fold
from truetape.kernel.judge import judge
from truetape.kernel.session_days import session_dates, session_starts
from truetape.kernel.settle import settle
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Event

HOUR = 3_600 * SECOND
KNOWN = venues()
WEEKS = {
    "XCME": [date(2026, 3, 5), date(2026, 10, 29), date(2026, 11, 25), date(2026, 12, 23)],
    "FX": [date(2026, 3, 5), date(2026, 10, 29), date(2026, 12, 23)],
    "XTKS": [date(2024, 10, 31), date(2026, 12, 29)],
    "XASX": [date(2026, 4, 2), date(2026, 12, 23)],
}
"""First days of six: two weekends on which clocks are set, holidays, half days."""
SIX = [(code, first) for code, firsts in WEEKS.items() for first in firsts]
SIP = load("sip")


def week(code: str, first: date) -> list[Session]:
    return sessions(KNOWN[code], first, first + timedelta(days=5))


def edges(days: Sequence[Session]) -> list[int]:
    """Return the instants at which something begins or ends, and those around them."""
    at_edges = {edge for day in days for edge in (day.start_ns, day.open_ns, day.close_ns)}
    at_edges |= {edge for day in days for edge in day.auction_ns or ()}
    return sorted(
        instant
        for edge in at_edges - {None}
        if edge is not None
        for instant in (edge - 1, edge, edge + 30 * SECOND)
        if days[0].start_ns <= instant < days[-1].end_ns
    )


@st.composite
def markets(draw: st.DrawFn) -> tuple[str, list[Session], list[Event]]:
    """Draw six days of a venue, and trades at their edges; ids repeat from session to session."""
    code, first = draw(st.sampled_from(SIX))
    days = week(code, first)
    span = days[-1].end_ns - days[0].start_ns - 1
    instants = st.one_of(
        st.sampled_from(edges(days)),
        st.integers(0, span).map(lambda offset: days[0].start_ns + offset),
    )
    made: list[Event] = []
    for number in range(draw(st.integers(1, 24))):
        event_ns = draw(instants)
        made.append(
            trade(
                f"{100 + number % 7}.5",
                str(1 + number),
                venue=code,
                symbol="ESZ6",
                id=draw(st.sampled_from([None, "1", "2", f"x{number}"])),
                event_ns=event_ns,
                received_ns=event_ns + draw(st.sampled_from([0, SECOND, 9 * HOUR])),
                conditions=draw(st.sampled_from([(), (), ("6",), ("T",)])),
                offset=number,
            )
        )
    for number in range(draw(st.integers(0, 3))):
        received_ns, name = draw(instants), draw(st.sampled_from(["1", "2"]))
        made.append(cancel(name, received_ns, 1_000 + number, venue=code, symbol="ESZ6"))
    return code, days, made


def reference_bars(code: str, days: Sequence[Session], events: Sequence[Event]) -> list[Bar]:
    settled = canonical(events, KNOWN).trades
    return [
        bar for resolution in Resolution for bar in bars(settled, SIP, resolution, {code: days})
    ]


@examples(60)
@given(markets())
def test_bars_of_sessions_over_midnight_equal_the_reference(
    drawn: tuple[str, list[Session], list[Event]],
) -> None:
    code, days, events = drawn
    judged = judge(settle(deliveries_of(events), KNOWN), SIP)

    folded = [
        Bar(resolution=resolution, **row)
        for resolution in Resolution
        for row in fold.bars(judged, resolution, {code: days}).to_pylist()
    ]

    assert folded == reference_bars(code, days, events)


@examples(60)
@given(markets())
def test_the_recomputed_sessions_add_up_to_the_bars_of_all_trades(
    drawn: tuple[str, list[Session], list[Event]],
) -> None:
    """Each session is recomputed on its own; a bar is of one of them, at its place in it."""
    code, days, events = drawn

    recomputed = [row for day in days for row in recomputed_rows(day, events)]

    found = {(row["resolution"], row["start_ns"]): row["volume"] for row in recomputed}
    expected = reference_bars(code, days, events)
    assert found == {(bar.resolution.value, bar.start_ns): bar.volume for bar in expected}
    assert len(recomputed) == len(expected)


def recomputed_rows(day: Session, events: Sequence[Event]) -> Iterator[dict[str, object]]:
    rules = RecomputeRules(SIP, KNOWN, 60 * SECOND)
    trades = trade_rows(deliveries_of(events), day, rules)
    for row in bar_rows(trades, day, rules).to_pylist():
        width = Resolution(row["resolution"]).width_ns
        is_daily = row["resolution"] == "1d"
        assert row["start_ns"] == day.open_ns if is_daily else day.contains(row["start_ns"])
        assert row["seq"] == (0 if is_daily else (row["start_ns"] - day.start_ns) // width)
        yield row


@pytest.mark.parametrize("code", ["XCME", "FX", "XASX", "XNYS", "KRAKEN"])
def test_dates_and_starts_of_a_column_are_those_of_the_venue(code: str) -> None:
    """Ten years, an instant every seven hours, and each begin of a session."""
    venue = KNOWN[code]
    first, last = at("2017-01-01T00:00:00"), at("2027-01-01T00:00:00")
    begins = [venue.session_start_ns(date(2017, 1, 1) + timedelta(n)) for n in range(3_650)]
    instants = [*range(first, last, 7 * HOUR), *begins, *(begin - 1 for begin in begins)]
    rows = pa.table({"venue": [code] * len(instants), "event_ns": instants})

    dates = session_dates(rows, KNOWN).to_pylist()
    starts = session_starts(rows["venue"], rows["event_ns"].to_numpy(), KNOWN).tolist()

    assert dates == [venue.date_of(instant) for instant in instants]
    assert starts == [venue.session_start_ns(day) for day in dates]


def day_bar(venue: Venue, day: str, prints: Sequence[tuple[str, str, str]]) -> Bar | None:
    """Return the daily bar of a session from prints: time, price, size."""
    trades = [
        trade(price, size, venue=venue.code, event_ns=at(time), offset=number)
        for number, (time, price, size) in enumerate(prints)
    ]
    of_day = sessions(venue, date.fromisoformat(day), date.fromisoformat(day))
    judged = judge(settle(deliveries_of(trades), KNOWN), load("all"))
    rows = fold.bars(judged, Resolution.DAY, {venue.code: of_day}).to_pylist()
    folded = [Bar(resolution=Resolution.DAY, **row) for row in rows]
    settled = canonical(trades, KNOWN).trades
    assert folded == bars(settled, load("all"), Resolution.DAY, {venue.code: of_day})
    return folded[0] if folded else None


def test_the_daily_bar_of_globex_is_from_the_evening_to_the_break() -> None:
    """The Monday after clocks go forward; the prints before and after it are of no 1d bar of it."""
    bar = day_bar(
        KNOWN["XCME"],
        "2026-03-09",
        [
            ("2026-03-08T21:59:59", "1", "1"),
            ("2026-03-08T22:00:00", "5010.25", "3"),
            ("2026-03-09T06:00:00", "5020", "2"),
            ("2026-03-09T20:59:59", "5015.5", "1"),
            ("2026-03-09T21:00:00", "9", "9"),
            ("2026-03-09T22:00:00", "1", "1"),
        ],
    )

    assert bar is not None
    assert bar.start_ns == at("2026-03-08T22:00:00")
    assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == [
        Decimal(value) for value in ("5010.25", "5020", "5010.25", "5015.5", "6")
    ]


@pytest.mark.parametrize(
    ("code", "day", "prints", "close", "volume"),
    [
        ("XTKS", "2026-03-09", [("00:00:00", "2900", "100"), ("06:30:00", "2910.5", "7000"),
                                ("06:31:00", "1", "1")], "2910.5", "7100"),
        ("XTKS", "2024-10-31", [("00:00:00", "2900", "100"), ("06:00:00", "2910.5", "7000"),
                                ("06:30:00", "1", "1")], "2910.5", "7100"),
        ("XASX", "2026-03-09", [("00:00:00", "40.10", "5"), ("05:05:00", "1", "1"),
                                ("05:10:17", "40.2", "9"), ("05:12:00", "1", "1")], "40.2", "14"),
        ("XASX", "2026-12-24", [("00:00:00", "40.10", "5"), ("03:20:17", "40.2", "9"),
                                ("05:10:17", "1", "1")], "40.2", "14"),
    ],
    ids=["tokyo", "tokyo, when it closed at three", "sydney", "sydney, christmas eve"],
)  # fmt: skip
def test_the_closing_auction_is_in_the_daily_bar_without_a_condition(
    code: str, day: str, prints: list[tuple[str, str, str]], close: str, volume: str
) -> None:
    bar = day_bar(
        KNOWN[code], day, [(f"{day}T{time}", price, size) for time, price, size in prints]
    )

    assert bar is not None
    assert (bar.close, bar.volume) == (Decimal(close), Decimal(volume))


def test_a_closed_day_has_bars_of_a_minute_but_none_of_a_day() -> None:
    """A print on the evening after a Friday's session is of the Saturday."""
    friday = trade(venue="XCME", event_ns=at("2026-03-06T22:59:00"))
    saturday = replace(friday, event_ns=at("2026-03-06T23:01:00"))
    days = week("XCME", date(2026, 3, 5))
    judged = judge(settle(deliveries_of([friday, saturday]), KNOWN), load("all"))

    assert [str(day) for day in sorted(judged["session"].to_pylist())] == [
        "2026-03-06", "2026-03-07",
    ]  # fmt: skip
    assert fold.bars(judged, Resolution.MINUTE, {}).num_rows == 2
    assert fold.bars(judged, Resolution.DAY, {"XCME": days}).num_rows == 0
