"""Which closed sessions are not final, and what is due next, by the venue's calendar."""

from datetime import UTC, date, datetime, timedelta

import pytest

from support.build import VENUES
from truetape.broker.boundary import Boundary, published_range
from truetape.host import calendars
from truetape.host.venues import venues
from truetape.market.ranges import Range, Ranges
from truetape.pipeline.facts import VenueFacts
from truetape.pipeline.finality import FinalRule, venue_facts
from truetape.schedule.timetable import ExchangeSessionTimetable

RULE = FinalRule(delay=timedelta(minutes=15), within=timedelta(hours=1))
XNYS = VENUES["XNYS"]
"""Closes at 21:00 UTC in November, and at 18:00 the day after Thanksgiving, the 26th."""


def published(*days: int, code: str = "XNYS") -> Boundary:
    """Return the boundary after the publication of these days of November 2026, in order."""
    venue, boundary = venues()[code], Boundary(code)
    for day in days:
        session = calendars.session(venue, date(2026, 11, day))
        before = calendars.last_regular(venue, session.start_ns)
        boundary = boundary.sealed(published_range(session, before))
    return boundary


def facts(boundary: Boundary, day: int, hour: int, minute: int = 0) -> VenueFacts:
    now = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    return venue_facts(venues()[boundary.venue], boundary, RULE, now)


def missing(found: VenueFacts) -> list[int]:
    return [session.day.day for session in found.missing]


def test_after_the_last_session_is_final_nothing_is_missing_and_the_next_one_is_expected() -> None:
    found = facts(published(20, 23), 24, 12)

    assert (found.first, found.last) == (date(2026, 11, 20), date(2026, 11, 23))
    assert found.missing == ()
    assert found.next is not None
    assert found.next.day == date(2026, 11, 24)
    assert found.next.due == datetime(2026, 11, 25, 1, 15, tzinfo=UTC)
    assert found.next.deadline == datetime(2026, 11, 25, 2, 15, tzinfo=UTC)


def test_a_closed_session_is_missing_from_its_close_on_and_is_the_next_one_until_its_deadline() -> (
    None
):
    boundary = published(20, 23)

    assert missing(facts(boundary, 24, 20, 59)) == []
    closed = facts(boundary, 24, 21)
    assert missing(closed) == [24]
    assert closed.next == closed.missing[0]
    late = facts(boundary, 25, 2, 15)
    assert missing(late) == [24]
    assert late.next is not None
    assert late.next.day == date(2026, 11, 25)


def test_a_venue_a_week_behind_lacks_each_regular_session_and_no_holiday() -> None:
    """Thanksgiving is closed, the day after it closes early: due at 22:15, with after hours."""
    found = facts(published(20), 29, 12)

    assert missing(found) == [23, 24, 25, 27]
    assert found.missing[-1].deadline == datetime(2026, 11, 27, 23, 15, tzinfo=UTC)
    assert found.next is not None
    assert found.next.day == date(2026, 11, 30)


def test_the_final_range_is_named_by_regular_sessions() -> None:
    """The range of the 27th begins at the end of the 25th; nobody traded on Thanksgiving."""
    found = facts(published(27), 29, 12)

    assert (found.first, found.last) == (date(2026, 11, 27), date(2026, 11, 27))


def test_a_session_after_a_missing_one_is_not_missing() -> None:
    found = facts(published(20, 24), 25, 12)

    assert missing(found) == [23]
    assert found.last == date(2026, 11, 20)
    assert found.gaps == ()


def test_a_gap_before_the_boundary_is_a_gap_and_not_a_missing_session() -> None:
    first, later = (calendars.session(XNYS, date(2026, 11, day)) for day in (17, 20))
    boundary = Boundary("XNYS").sealed(Range(first.start_ns, first.end_ns))
    boundary = boundary.sealed(Range(later.start_ns, later.end_ns), restart=True)

    found = facts(boundary, 20, 12)

    assert found.missing == ()
    assert found.gaps == ((date(2026, 11, 18), date(2026, 11, 19)),)


def test_a_venue_without_a_publication_expects_its_last_closed_session_until_its_deadline() -> None:
    nothing = Boundary("XNYS")

    expected = [facts(nothing, *now).next for now in ((25, 2, 14), (25, 2, 15))]

    assert [session and session.day.day for session in expected] == [24, 25]
    assert facts(nothing, 25, 12).missing == ()
    assert facts(nothing, 25, 12).last is None


def test_a_market_around_the_clock_closes_at_midnight() -> None:
    found = facts(published(28, code="BITSTAMP"), 30, 0, 10)

    assert missing(found) == [29]
    assert found.next is not None
    assert found.next.deadline == datetime(2026, 11, 30, 1, 15, tzinfo=UTC)


def test_a_session_over_midnight_has_its_own_date() -> None:
    found = facts(published(20, code="XCME"), 24, 1)

    assert missing(found) == [23]


def test_without_a_rule_nothing_is_expected() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)

    found = venue_facts(XNYS, published(17, 20), None, now)

    assert (found.missing, found.next, found.is_scheduled) == ((), None, False)
    assert found.gaps == ((date(2026, 11, 18), date(2026, 11, 19)),)


def test_years_without_a_publication_are_listed_up_to_a_bound() -> None:
    old = calendars.session(XNYS, date(2013, 10, 7))
    runs = Ranges.between(old.start_ns, old.end_ns)
    boundary = Boundary("XNYS", old.end_ns, old.end_ns, runs)

    found = facts(boundary, 29, 12)

    assert found.missing[0].day == date(2025, 10, 27)
    assert 270 < len(found.missing) < 280


@pytest.mark.parametrize("code", ["XNYS", "BITSTAMP", "XCME", "XTKS"])
def test_a_session_is_due_when_airflow_s_timetable_runs_it(code: str) -> None:
    venue = venues()[code]
    session = calendars.next_regular(venue, date(2026, 11, 24))
    assert session is not None
    assert session.close_ns is not None

    timetable = ExchangeSessionTimetable(venue, venue.after_hours + RULE.delay)

    closed = datetime.fromtimestamp(session.close_ns // 10**9, UTC)
    assert RULE.due(venue, session).due == closed + timetable.delay
