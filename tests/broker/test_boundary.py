"""The boundary of a venue: it only rises, never over a missing session, never above the fence."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import SECOND, VENUES, at
from truetape.broker.boundary import Boundary, boundary_of, published_range
from truetape.host import calendars
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
            START.raised(200), Boundary("XNYS", 200, 50, Ranges.between(20, 50)), id="fence goes up"
        ),
        pytest.param(START.raised(70), START, id="fence never comes down"),
        pytest.param(
            START.sealed(Range(50, 80)),
            Boundary("XNYS", 100, 80, Ranges.between(20, 80)),
            id="next session",
        ),
        pytest.param(
            START.sealed(Range(50, 300)),
            Boundary("XNYS", 300, 300, Ranges.between(20, 300)),
            id="takes the fence",
        ),
        pytest.param(START.sealed(Range(20, 50)), START, id="published again"),
        pytest.param(
            START.sealed(Range(80, 90)),
            Boundary("XNYS", 100, 50, runs((20, 50), (80, 90))),
            id="behind a missing session",
        ),
        pytest.param(
            START.sealed(Range(80, 90)).sealed(Range(50, 80)),
            Boundary("XNYS", 100, 90, Ranges.between(20, 90)),
            id="the missing session comes",
        ),
        pytest.param(
            START.sealed(Range(5, 10)),
            Boundary("XNYS", 100, 50, runs((5, 10), (20, 50))),
            id="history apart",
        ),
        pytest.param(
            START.sealed(Range(10, 20)),
            Boundary("XNYS", 100, 50, Ranges.between(10, 50)),
            id="history adjacent",
        ),
        pytest.param(
            START.sealed(Range(80, 90), restart=True),
            Boundary("XNYS", 100, 90, runs((20, 50), (80, 90))),
            id="begun anew by order",
        ),
    ],
)
def test_a_boundary_rises_as_far_as_sessions_follow_each_other(
    moved: Boundary, expected: Boundary
) -> None:
    assert moved == expected


def test_what_is_final_counts_from_the_first_session_of_the_last_run() -> None:
    assert START.final_from_ns == 20
    assert START.sealed(Range(80, 90), restart=True).final_from_ns == 80
    assert Boundary("XNYS").final_from_ns == 0


@pytest.mark.parametrize(("start_ns", "is_open"), [(99, False), (100, True), (101, True)])
def test_bars_are_open_from_the_fence_on(start_ns: int, is_open: bool) -> None:
    assert START.is_open(start_ns) is is_open


def test_a_venue_never_published_is_open_from_the_beginning() -> None:
    assert boundary_of({"XNYS": START}, "KRAKEN") == Boundary("KRAKEN", 0, 0)
    assert boundary_of({"XNYS": START}, "XNYS") == START


def test_a_boundary_survives_its_record() -> None:
    beyond_floats = 1_795_185_070_000_000_001
    boundary = Boundary(
        "XNYS", beyond_floats, beyond_floats + 2, runs((7, 9), (11, beyond_floats + 2))
    )

    assert Boundary.decode(boundary.encode()) == boundary


def test_a_record_of_before_runs_were_kept_is_one_run() -> None:
    old = b'{"venue": "XNYS", "fence_ns": 90, "final_ns": 50}'

    assert Boundary.decode(old) == Boundary("XNYS", 90, 50, Ranges.between(0, 50))
    assert Boundary.decode(old.replace(b"50", b"0")) == Boundary("XNYS", 90)


def claim(venue: str, day: date) -> Range:
    known = VENUES[venue]
    session = calendars.session(known, day)
    return published_range(session, calendars.last_regular(known, session.start_ns))


@pytest.mark.parametrize(
    ("venue", "day", "begin", "end"),
    [
        pytest.param(
            "XNYS", date(2026, 11, 25), "2026-11-25T05", "2026-11-26T05", id="a Wednesday"
        ),
        pytest.param(
            "XNYS", date(2026, 11, 27), "2026-11-26T05", "2026-11-28T05", id="behind a holiday"
        ),
        pytest.param(
            "XNYS", date(2026, 11, 30), "2026-11-28T05", "2026-12-01T05", id="behind a weekend"
        ),
        pytest.param("XNYS", date(2026, 11, 28), "2026-11-28T05", "2026-11-29T05", id="a Saturday"),
        pytest.param(
            "XNYS", date(2026, 3, 9), "2026-03-07T05", "2026-03-10T04", id="spring forward"
        ),
        pytest.param(
            "KRAKEN", date(2026, 11, 29), "2026-11-29T00", "2026-11-30T00", id="a UTC day"
        ),
    ],
)
def test_a_session_claims_itself_and_the_closed_days_before_it(
    venue: str, day: date, begin: str, end: str
) -> None:
    assert claim(venue, day) == Range(at(f"{begin}:00:00"), at(f"{end}:00:00"))


DAYS = calendars.sessions(VENUES["XNYS"], date(2026, 11, 2), date(2026, 12, 4))
REGULAR = [one for one in DAYS if one.open_ns is not None]


@given(st.permutations(REGULAR), st.integers(0, len(REGULAR)))
def test_sessions_in_any_order_leave_no_hole_below_the_boundary(
    order: Sequence[Session], count: int
) -> None:
    boundary, before = Boundary("XNYS"), 0
    published = order[:count]
    for session in published:
        boundary = boundary.raised(session.end_ns)
        boundary = boundary.sealed(claim("XNYS", session.date))
        assert boundary.final_ns >= before
        assert boundary.fence_ns >= boundary.final_ns
        before = boundary.final_ns

    claimed = [one for one in REGULAR if boundary.final_from_ns < one.end_ns <= boundary.final_ns]
    assert set(claimed) <= set(published)
    assert not claimed or published[0] in claimed
    assert Boundary.decode(boundary.encode()) == boundary


@given(st.permutations(REGULAR), st.lists(st.booleans(), min_size=len(REGULAR), max_size=60))
def test_two_writers_that_know_half_each_know_all_together(
    order: Sequence[Session], sides: Sequence[bool]
) -> None:
    """As when two hosts publish at once: whoever announces last, nothing is lost."""
    one, other, both = Boundary("XNYS"), Boundary("XNYS"), Boundary("XNYS")
    for session, side in zip(order, sides, strict=False):
        run = claim("XNYS", session.date)
        both = both.sealed(run)
        one, other = (one.sealed(run), other) if side else (one, other.sealed(run))

    merged = one.merged(other)
    assert merged == other.merged(one)
    assert (merged.runs, merged.fence_ns) == (both.runs, both.fence_ns)
    assert merged.final_ns >= both.final_ns
    assert all(left.end < right.start for left, right in pairwise(merged.runs))


def test_all_sessions_published_make_one_run_to_the_last_end() -> None:
    boundary = Boundary("XNYS")
    for session in reversed(REGULAR):
        boundary = boundary.sealed(claim("XNYS", session.date))

    assert boundary.final_ns == REGULAR[-1].end_ns
    assert len(boundary.runs) == 1


HALF_HOUR = Venue("HALF", "half an hour off", "Asia/Kolkata", None)


@pytest.mark.parametrize("resolution", INTRADAY)
def test_the_boundary_of_a_resolution_is_the_end_of_a_whole_window(resolution: Resolution) -> None:
    end = HALF_HOUR.midnight_ns(date(2026, 11, 21))
    final = Boundary("HALF", end, end, Ranges.between(0, end)).final_for(resolution)

    assert end == at("2026-11-20T18:30:00")
    assert final % resolution.width_ns == 0
    assert final == (end - HOUR // 2 if resolution is Resolution.HOUR else end)


def test_the_daily_boundary_is_that_of_the_session() -> None:
    end = HALF_HOUR.midnight_ns(date(2026, 11, 21))

    assert Boundary("HALF", end, end, Ranges.between(0, end)).final_for(Resolution.DAY) == end
