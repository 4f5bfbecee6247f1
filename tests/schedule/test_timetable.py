"""The timetable: one run for each session in twenty years, and no error for any date."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice, pairwise

import pendulum
import pytest
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from pendulum import DateTime

from support.build import KRAKEN, NEW_YORK
from truetape.host import calendars
from truetape.host.venues import venues
from truetape.market.sessions import Session, Venue
from truetape.schedule.session_tasks import session_date
from truetape.schedule.timetable import ExchangeSessionTimetable

DELAY = timedelta(hours=4, minutes=15)


class TimetableAt(ExchangeSessionTimetable):
    """The timetable with a clock that a test sets."""

    clock = "2026-11-20T12:00:00Z"

    def now(self) -> DateTime:
        """Return the time of the clock."""
        return utc(self.clock)


def utc(text: str) -> DateTime:
    """Parse a timestamp into the type that Airflow passes."""
    parsed = pendulum.parse(text)
    assert isinstance(parsed, DateTime)
    return parsed


def at(clock: str, venue: Venue = NEW_YORK) -> TimetableAt:
    """Return a timetable whose clock stands still."""
    timetable = TimetableAt(venue, DELAY)
    timetable.clock = clock
    return timetable


def between(
    timetable: ExchangeSessionTimetable, earliest: DateTime | None, latest: DateTime | None
) -> Iterator[DagRunInfo]:
    """Yield the runs that an Airflow backfill would create, by the call that Airflow makes."""
    restriction = TimeRestriction(earliest, latest, catchup=True)
    info: DagRunInfo | None = None
    while info := timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction):
        yield info


def interval(run: DagRunInfo | None) -> DataInterval:
    """Return the interval of a run, which must exist."""
    assert run is not None
    assert run.data_interval is not None
    return run.data_interval


def span(opens: str, closes: str) -> DataInterval:
    """Return a data interval from its two timestamps."""
    return DataInterval(utc(opens), utc(closes))


def regular(venue: Venue, first: date, last: date) -> list[Session]:
    """Return the regular sessions of the calendar."""
    sessions = calendars.sessions(venue, first, last)
    return [session for session in sessions if session.open_ns is not None]


@pytest.mark.parametrize(
    "venue",
    [
        pytest.param(NEW_YORK, id="exchange", marks=pytest.mark.real),
        pytest.param(KRAKEN, id="round the clock"),
        pytest.param(venues()["XCME"], id="over midnight", marks=pytest.mark.real),
        pytest.param(venues()["FX"], id="over midnight on weekdays"),
    ],
)
def test_each_session_of_twenty_years_runs_once_and_in_order(venue: Venue) -> None:
    first, last = date(2010, 1, 1), date(2029, 12, 31)
    timetable = ExchangeSessionTimetable(venue, DELAY)

    runs = list(between(timetable, utc("2010-01-01T00:00:00Z"), utc("2029-12-31T23:59:59Z")))

    expected = regular(venue, first, last)
    assert [int(interval(run).start.timestamp()) * 10**9 for run in runs] == [
        session.open_ns for session in expected
    ]
    assert [int(interval(run).end.timestamp()) * 10**9 for run in runs] == [
        session.close_ns for session in expected
    ]
    delays = {(run.run_after - interval(run).end).total_seconds() for run in runs}
    assert delays == {DELAY.total_seconds()}
    assert all(interval(left).end <= interval(right).start for left, right in pairwise(runs))
    assert len(runs) > 5_000


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-11-25T14:30:00Z", "2026-11-25T21:00:00Z"),
        ("2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z"),
        ("2026-12-24T14:30:00Z", "2026-12-24T18:00:00Z"),
        ("2026-10-30T13:30:00Z", "2026-10-30T20:00:00Z"),
        ("2026-11-02T14:30:00Z", "2026-11-02T21:00:00Z"),
        ("2026-03-06T14:30:00Z", "2026-03-06T21:00:00Z"),
        ("2026-03-09T13:30:00Z", "2026-03-09T20:00:00Z"),
    ],
    ids=[
        "before thanksgiving",
        "half day after it",
        "christmas eve",
        "last of summer time",
        "first of winter time",
        "last of winter time",
        "first of summer time",
    ],
)
def test_the_data_interval_is_the_session_from_open_to_close(opens: str, closes: str) -> None:
    day = utc(opens).start_of("day")
    runs = list(between(at("2026-01-01T00:00:00Z"), day, day.end_of("day")))

    assert [interval(run) for run in runs] == [span(opens, closes)]
    assert runs[0].run_after == utc(closes) + DELAY
    assert runs[0].logical_date == utc(opens)


@pytest.mark.parametrize(
    ("code", "last_open", "opens", "closes"),
    [
        ("XCME", "2026-03-05T23:00:00Z", "2026-03-08T22:00:00Z", "2026-03-09T21:00:00Z"),
        ("XCME", "2026-10-29T22:00:00Z", "2026-11-01T23:00:00Z", "2026-11-02T22:00:00Z"),
        ("XCME", "2026-11-24T23:00:00Z", "2026-11-25T23:00:00Z", "2026-11-26T18:00:00Z"),
        ("XCME", "2026-11-25T23:00:00Z", "2026-11-26T23:00:00Z", "2026-11-27T18:00:00Z"),
        ("XCME", "2026-12-23T23:00:00Z", "2026-12-27T23:00:00Z", "2026-12-28T22:00:00Z"),
        ("FX", "2026-03-05T22:00:00Z", "2026-03-08T21:00:00Z", "2026-03-09T21:00:00Z"),
        ("FX", "2026-12-23T22:00:00Z", "2026-12-27T22:00:00Z", "2026-12-28T22:00:00Z"),
    ],
    ids=[
        "the monday on which clocks are an hour forward",
        "the monday on which clocks are an hour back",
        "thanksgiving",
        "the half day after it",
        "over christmas",
        "currencies, clocks forward",
        "currencies, over christmas",
    ],
)
def test_the_run_after_a_session_over_midnight_is_for_the_next_open_date(
    code: str, last_open: str, opens: str, closes: str
) -> None:
    """A run's interval begins on the evening before its date, which the task finds again."""
    last = span(last_open, utc(last_open).add(hours=19).to_iso8601_string())
    run = at(closes, venues()[code]).next_dagrun_info(
        last_automated_data_interval=last, restriction=TimeRestriction(None, None, catchup=False)
    )

    assert interval(run) == span(opens, closes)
    assert run is not None
    assert run.run_after == utc(closes) + DELAY
    assert session_date(code, None, interval(run).start, run.run_after) == closes[:10]


@pytest.mark.parametrize(
    ("instant", "opens"),
    [
        ("2026-03-06T21:59:00Z", "2026-03-04T23:00:00Z"),
        ("2026-03-06T22:00:00Z", "2026-03-05T23:00:00Z"),
        ("2026-03-09T12:00:00Z", "2026-03-05T23:00:00Z"),
    ],
    ids=["before the friday's close", "at its close", "while the monday trades"],
)
def test_a_manual_run_over_midnight_is_for_the_last_closed_session(
    instant: str, opens: str
) -> None:
    timetable = at(instant, venues()["XCME"])

    assert timetable.infer_manual_data_interval(run_after=utc(instant)).start == utc(opens)


@pytest.mark.parametrize(
    ("last_open", "next_open"),
    [
        ("2026-11-25T14:30:00Z", "2026-11-27T14:30:00Z"),
        ("2012-10-26T13:30:00Z", "2012-10-31T13:30:00Z"),
        ("2026-06-18T13:30:00Z", "2026-06-22T13:30:00Z"),
        ("2021-06-18T13:30:00Z", "2021-06-21T13:30:00Z"),
        ("2022-06-17T13:30:00Z", "2022-06-21T13:30:00Z"),
        ("2025-01-08T14:30:00Z", "2025-01-10T14:30:00Z"),
        ("2001-09-10T13:30:00Z", "2001-09-17T13:30:00Z"),
    ],
    ids=[
        "thanksgiving",
        "hurricane sandy",
        "juneteenth 2026",
        "juneteenth before it was a holiday",
        "juneteenth on a sunday",
        "day of mourning",
        "september 2001",
    ],
)
def test_closed_days_have_no_run(last_open: str, next_open: str) -> None:
    last = DataInterval(utc(last_open), utc(last_open).add(hours=6))
    run = at(next_open).next_dagrun_info(
        last_automated_data_interval=last, restriction=TimeRestriction(None, None, catchup=True)
    )

    assert interval(run).start == utc(next_open)


@pytest.mark.parametrize(
    ("clock", "session"),
    [
        ("2026-11-21T01:14:59Z", "2026-11-19"),
        ("2026-11-21T01:15:00Z", "2026-11-20"),
        ("2026-11-22T12:00:00Z", "2026-11-20"),
    ],
    ids=["a second before it is over", "when it is over", "on a sunday"],
)
def test_a_new_dag_starts_with_the_newest_session_that_is_over(clock: str, session: str) -> None:
    run = at(clock).next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )

    assert interval(run).start.to_date_string() == session


@pytest.mark.parametrize(
    ("clock", "session"),
    [("2026-11-20T12:00:00Z", "2026-11-10"), ("2026-12-20T12:00:00Z", "2026-12-18")],
    ids=["a week off loses no session", "a month off needs a backfill"],
)
def test_sessions_missed_while_airflow_was_off_run_later(clock: str, session: str) -> None:
    run = at(clock).next_dagrun_info(
        last_automated_data_interval=span("2026-11-09T14:30:00Z", "2026-11-09T21:00:00Z"),
        restriction=TimeRestriction(None, None, catchup=False),
    )

    assert interval(run).start.to_date_string() == session


def test_an_open_session_waits_for_its_close_and_the_delay() -> None:
    run = at("2026-11-20T16:00:00Z").next_dagrun_info(
        last_automated_data_interval=span("2026-11-19T14:30:00Z", "2026-11-19T21:00:00Z"),
        restriction=TimeRestriction(None, None, catchup=False),
    )

    assert run is not None
    assert run.run_after == utc("2026-11-21T01:15:00Z")


def test_a_backfill_includes_the_sessions_that_open_at_both_its_bounds() -> None:
    opens = [utc(f"2026-11-{day}T14:30:00Z") for day in (19, 20, 23)]
    timetable = at("2026-12-01T00:00:00Z")

    assert [interval(run).start for run in between(timetable, opens[0], opens[2])] == opens
    assert [
        interval(run).start
        for run in between(timetable, opens[0].add(seconds=1), opens[2].subtract(seconds=1))
    ] == [opens[1]]


@pytest.mark.parametrize(
    ("instant", "opens", "closes"),
    [
        ("2026-11-27T17:59:00Z", "2026-11-25T14:30:00Z", "2026-11-25T21:00:00Z"),
        ("2026-11-27T18:00:00Z", "2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z"),
        ("2026-11-29T12:00:00Z", "2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z"),
    ],
    ids=["during a half day", "at its close", "on the sunday after it"],
)
def test_a_manual_run_is_for_the_last_session_that_closed(
    instant: str, opens: str, closes: str
) -> None:
    inferred = at(instant).infer_manual_data_interval(run_after=utc(instant))

    assert inferred == span(opens, closes)


def test_a_session_of_a_venue_that_never_closes_is_the_utc_day() -> None:
    inferred = at("2026-11-22T10:00:00Z", KRAKEN).infer_manual_data_interval(
        run_after=utc("2026-11-22T10:00:00Z")
    )

    assert inferred == span("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z")


@pytest.mark.parametrize(
    "instant",
    ["0001-01-01T00:00:00Z", "1677-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2262-05-01T00:00:00Z",
     "9999-12-31T23:59:59Z"],
)  # fmt: skip
@pytest.mark.parametrize("catchup", [True, False])
@pytest.mark.parametrize(
    "venue",
    [NEW_YORK, KRAKEN, replace(NEW_YORK, calendar="NOPE"), replace(NEW_YORK, calendar="CMES")],
    ids=["exchange", "round the clock", "unknown calendar", "over midnight"],
)
def test_no_date_and_no_calendar_raises_an_error(instant: str, catchup: bool, venue: Venue) -> None:
    when = utc(instant)
    timetable = at(instant, venue)
    last = DataInterval(when, when)

    timetable.infer_manual_data_interval(run_after=when)
    for restriction in (
        TimeRestriction(None, None, catchup),
        TimeRestriction(when, None, catchup),
        TimeRestriction(when, when, catchup),
    ):
        for before in (None, last):
            timetable.next_dagrun_info(last_automated_data_interval=before, restriction=restriction)


@pytest.mark.parametrize("code", sorted(venues()))
def test_every_declared_venue_has_a_next_session(code: str) -> None:
    runs = between(at("2026-11-20T12:00:00Z", venues()[code]), utc("2026-11-20T00:00:00Z"), None)

    assert len(list(islice(runs, 3))) == 3


@pytest.mark.parametrize("code", sorted(venues()))
def test_a_rebuilt_timetable_has_the_sessions_of_its_venue(code: str) -> None:
    serialized = json.dumps(ExchangeSessionTimetable(venues()[code], DELAY).serialize())
    rebuilt = ExchangeSessionTimetable.deserialize(json.loads(serialized))

    bounds = utc("2026-11-20T00:00:00Z"), utc("2027-01-04T00:00:00Z")
    original = ExchangeSessionTimetable(venues()[code], DELAY)
    assert list(between(rebuilt, *bounds)) == list(between(original, *bounds))


def test_a_form_that_an_older_version_serialized_is_read() -> None:
    old = {"code": "XNYS", "name": "a", "zone": "America/New_York", "calendar": "XNYS"}

    rebuilt = ExchangeSessionTimetable.deserialize(old | {"delay_s": 900})

    assert rebuilt.venue == Venue("XNYS", "a", "America/New_York", "XNYS")


def test_the_serialized_form_is_json_and_rebuilds_the_timetable() -> None:
    venue = replace(NEW_YORK, name="renamed since")
    serialized = json.dumps(ExchangeSessionTimetable(venue, DELAY).serialize())

    rebuilt = ExchangeSessionTimetable.deserialize(json.loads(serialized))

    assert rebuilt.serialize() == json.loads(serialized)
    assert (rebuilt.summary, rebuilt.description) == (
        "XNYS close + 4 h 15 min",
        "Each session of renamed since, 4 h 15 min after its close",
    )


def test_a_scheduler_that_runs_for_years_stays_inside_its_calendar() -> None:
    timetable = at("2026-11-20T12:00:00Z")
    assert interval(next(between(timetable, utc("2026-11-20T00:00:00Z"), None)))

    timetable.clock = "2041-03-01T12:00:00Z"
    run = timetable.next_dagrun_info(
        last_automated_data_interval=span("2041-02-28T14:30:00Z", "2041-02-28T21:00:00Z"),
        restriction=TimeRestriction(None, None, catchup=False),
    )

    assert interval(run).start == utc("2041-03-01T14:30:00Z")
