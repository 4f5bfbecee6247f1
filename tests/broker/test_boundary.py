"""The boundary of a venue only rises, never passes a missing session, and stays below the fence."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import SECOND, VENUES, at
from truetape.broker.boundary import Boundary, boundary_of, published_range
from truetape.host import calendars
from truetape.host.venues import venues
from truetape.market.ranges import Range, Ranges
from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import Session, Venue


def runs(*pairs: tuple[int, int]) -> Ranges:
    return Ranges(Range(start, end) for start, end in pairs)


START = Boundary("XNYS", fence_ns=100, final_ns=50, runs=Ranges.between(20, 50))
HOUR = 3_600 * SECOND


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        pytest.param(
            START.raised(200), Boundary("XNYS", 200, 50, Ranges.between(20, 50)), id="fence rises"
        ),
        pytest.param(START.raised(70), START, id="fence never falls"),
        pytest.param(
            START.sealed(Range(50, 80)),
            Boundary("XNYS", 100, 80, Ranges.between(20, 80)),
            id="next session",
        ),
        pytest.param(
            START.sealed(Range(50, 300)),
            Boundary("XNYS", 300, 300, Ranges.between(20, 300)),
            id="raises the fence too",
        ),
        pytest.param(START.sealed(Range(20, 50)), START, id="published again"),
        pytest.param(
            START.sealed(Range(80, 90)),
            Boundary("XNYS", 100, 50, runs((20, 50), (80, 90))),
            id="after a missing session",
        ),
        pytest.param(
            START.sealed(Range(80, 90)).sealed(Range(50, 80)),
            Boundary("XNYS", 100, 90, Ranges.between(20, 90)),
            id="the missing session is published",
        ),
        pytest.param(
            START.sealed(Range(5, 10)),
            Boundary("XNYS", 100, 50, runs((5, 10), (20, 50))),
            id="older session, not adjacent",
        ),
        pytest.param(
            START.sealed(Range(10, 20)),
            Boundary("XNYS", 100, 50, Ranges.between(10, 50)),
            id="older session, adjacent",
        ),
        pytest.param(
            START.sealed(Range(80, 90), restart=True),
            Boundary("XNYS", 100, 90, runs((20, 50), (80, 90))),
            id="restarted",
        ),
    ],
)
def test_a_boundary_rises_up_to_the_first_missing_session(
    moved: Boundary, expected: Boundary
) -> None:
    assert moved == expected


def test_bars_are_final_from_the_start_of_the_boundary_s_run() -> None:
    assert START.final_from_ns == 20
    assert START.sealed(Range(80, 90), restart=True).final_from_ns == 80
    assert Boundary("XNYS").final_from_ns == 0


@pytest.mark.parametrize(("start_ns", "is_open"), [(99, False), (100, True), (101, True)])
def test_bars_that_start_at_the_fence_or_later_are_open(start_ns: int, is_open: bool) -> None:
    assert START.is_open(start_ns) is is_open


def test_a_venue_without_a_publication_has_no_fence() -> None:
    assert boundary_of({"XNYS": START}, "KRAKEN") == Boundary("KRAKEN", 0, 0)
    assert boundary_of({"XNYS": START}, "XNYS") == START


def test_a_boundary_is_read_back_exactly() -> None:
    beyond_floats = 1_795_185_070_000_000_001
    boundary = Boundary(
        "XNYS", beyond_floats, beyond_floats + 2, runs((7, 9), (11, beyond_floats + 2))
    )

    assert Boundary.decode(boundary.encode()) == boundary


def test_a_record_of_an_older_version_without_runs_is_one_run() -> None:
    old = b'{"venue": "XNYS", "fence_ns": 90, "final_ns": 50}'

    assert Boundary.decode(old) == Boundary("XNYS", 90, 50, Ranges.between(0, 50))
    assert Boundary.decode(old.replace(b"50", b"0")) == Boundary("XNYS", 90)


def range_of(venue: str, day: date) -> Range:
    market = venues()[venue]
    session = calendars.session(market, day)
    return published_range(session, calendars.last_regular(market, session.start_ns))


@pytest.mark.parametrize(
    ("venue", "day", "begin", "end"),
    [
        pytest.param(
            "XNYS", date(2026, 11, 25), "2026-11-25T05", "2026-11-26T05", id="a Wednesday"
        ),
        pytest.param(
            "XNYS", date(2026, 11, 27), "2026-11-26T05", "2026-11-28T05", id="after a holiday"
        ),
        pytest.param(
            "XNYS", date(2026, 11, 30), "2026-11-28T05", "2026-12-01T05", id="after a weekend"
        ),
        pytest.param("XNYS", date(2026, 11, 28), "2026-11-28T05", "2026-11-29T05", id="a Saturday"),
        pytest.param(
            "XNYS", date(2026, 3, 9), "2026-03-07T05", "2026-03-10T04", id="spring forward"
        ),
        pytest.param(
            "KRAKEN", date(2026, 11, 29), "2026-11-29T00", "2026-11-30T00", id="a UTC day"
        ),
        pytest.param(
            "XCME", date(2026, 3, 9), "2026-03-06T23", "2026-03-09T22", id="over midnight, forward"
        ),
        pytest.param(
            "XCME", date(2026, 11, 2), "2026-10-30T22", "2026-11-02T23", id="over midnight, back"
        ),
        pytest.param(
            "XCME", date(2026, 12, 28), "2026-12-24T23", "2026-12-28T23", id="over christmas"
        ),
        pytest.param("FX", date(2026, 12, 28), "2026-12-24T22", "2026-12-28T22", id="currencies"),
    ],
)
def test_a_publication_covers_its_session_and_the_closed_days_before(
    venue: str, day: date, begin: str, end: str
) -> None:
    assert range_of(venue, day) == Range(at(f"{begin}:00:00"), at(f"{end}:00:00"))


DAYS = calendars.sessions(VENUES["XNYS"], date(2026, 11, 2), date(2026, 12, 4))
REGULAR = [day for day in DAYS if day.open_ns is not None]


@given(st.permutations(REGULAR), st.integers(0, len(REGULAR)))
def test_sessions_published_in_any_order_leave_no_gap_below_the_boundary(
    order: Sequence[Session], count: int
) -> None:
    boundary, before = Boundary("XNYS"), 0
    published = order[:count]
    for session in published:
        boundary = boundary.raised(session.end_ns)
        boundary = boundary.sealed(range_of("XNYS", session.date))
        assert boundary.final_ns >= before
        assert boundary.fence_ns >= boundary.final_ns
        before = boundary.final_ns

    final = [day for day in REGULAR if boundary.final_from_ns < day.end_ns <= boundary.final_ns]
    assert set(final) <= set(published)
    assert not final or published[0] in final
    assert Boundary.decode(boundary.encode()) == boundary


@given(st.permutations(REGULAR), st.lists(st.booleans(), min_size=len(REGULAR), max_size=60))
def test_merging_two_records_loses_no_publication(
    order: Sequence[Session], sides: Sequence[bool]
) -> None:
    """Two hosts publish at once: it does not matter which one announces last."""
    first, second, both = Boundary("XNYS"), Boundary("XNYS"), Boundary("XNYS")
    for session, side in zip(order, sides, strict=False):
        run = range_of("XNYS", session.date)
        both = both.sealed(run)
        if side:
            first = first.sealed(run)
        else:
            second = second.sealed(run)

    merged = first.merged(second)
    assert merged == second.merged(first)
    assert (merged.runs, merged.fence_ns) == (both.runs, both.fence_ns)
    assert merged.final_ns >= both.final_ns
    assert all(left.end < right.start for left, right in pairwise(merged.runs))


def test_without_a_missing_session_there_is_one_run() -> None:
    boundary = Boundary("XNYS")
    for session in reversed(REGULAR):
        boundary = boundary.sealed(range_of("XNYS", session.date))

    assert boundary.final_ns == REGULAR[-1].end_ns
    assert len(boundary.runs) == 1


HALF_HOUR = Venue("HALF", "half an hour off", "Asia/Kolkata", None)


@pytest.mark.parametrize("resolution", INTRADAY)
def test_the_boundary_of_a_resolution_is_the_end_of_a_whole_window(resolution: Resolution) -> None:
    end = HALF_HOUR.session_start_ns(date(2026, 11, 21))
    final = Boundary("HALF", end, end, Ranges.between(0, end)).final_for(resolution)

    assert end == at("2026-11-20T18:30:00")
    assert final % resolution.width_ns == 0
    assert final == (end - HOUR // 2 if resolution is Resolution.HOUR else end)


def test_the_boundary_of_daily_bars_is_the_end_of_the_session() -> None:
    end = HALF_HOUR.session_start_ns(date(2026, 11, 21))

    assert Boundary("HALF", end, end, Ranges.between(0, end)).final_for(Resolution.DAY) == end
