"""The timetable of a venue: one run for each session, a fixed time after its close.

It runs inside Airflow's scheduler, where an exception stops the DAG, so it raises none for any
date. The serialized form contains the venue, so that the scheduler reads no file.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Self

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from pendulum import DateTime

from truetape.host import calendars
from truetape.host.errors import TruetapeError
from truetape.host.log import logger
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue

MAX_GAP = timedelta(days=14)
"""The longest gap that is filled without catch-up: an Airflow that was down for a night or a week
loses no session. After a longer gap the schedule starts anew, and a backfill does the rest.
"""
_FIRST, _LAST = pendulum.datetime(1990, 1, 1), pendulum.datetime(2200, 1, 1)
"""Calendars and date arithmetic work between these dates; nothing is scheduled outside."""

_SERIALIZED = (
    "code", "name", "zone", "calendar", "begins_min", "closes_min", "auction_min", "weekdays",
    "closed",
)  # fmt: skip
"""What a venue's sessions follow from. A form that an older version wrote lacks the last ones."""


class ExchangeSessionTimetable(Timetable):
    """Run once for each regular session, `delay` after its close.

    The data interval is the session `[open, close)`: half days end early, closed days have no run,
    daylight saving moves both ends. A session over midnight opens on the day before its date. A
    venue without a calendar has one interval a session, from its begin to its end.
    """

    def __init__(self, venue: Venue, delay: timedelta) -> None:
        self.venue = venue
        self.delay = delay
        self.description = f"Each session of {venue.name}, {_duration(delay)} after its close"

    @property
    def summary(self) -> str:
        """Return the text in the list of DAGs."""
        return f"{self.venue.code} close + {_duration(self.delay)}"

    def serialize(self) -> dict[str, Any]:
        """Return everything that `deserialize` needs, the venue included."""
        fields = {name: getattr(self.venue, name) for name in _SERIALIZED}
        values = {name: _listed(value) for name, value in fields.items()}
        return values | {"delay_s": int(self.delay.total_seconds())}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """Return the timetable from the result of `serialize`."""
        fields = {name: _tupled(data[name]) for name in _SERIALIZED if name in data}
        return cls(Venue(**fields), timedelta(seconds=data["delay_s"]))

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Return the newest session that had closed; without one, the instant itself."""
        session = self._last_closed(run_after) if _FIRST <= run_after < _LAST else None
        return DataInterval.exact(run_after) if session is None else _interval(session)

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        """Return the session after the last one that ran.

        Without catch-up, a DAG that is new or was idle for longer than `MAX_GAP` starts with the
        newest session that is over.
        """
        first = self._first_day(last_automated_data_interval, restriction)
        session = None if first is None else self._next_from(first)
        if session is not None and _is_before(session, restriction.earliest):
            session = self._next_from(session.date + timedelta(days=1))
        if session is None:
            return None
        interval = _interval(session)
        if restriction.latest is not None and interval.start > restriction.latest:
            return None
        return DagRunInfo(run_after=interval.end + self.delay, data_interval=interval)

    def now(self) -> DateTime:
        """Return the current time."""
        return pendulum.now("UTC")

    def _first_day(self, last: DataInterval | None, restriction: TimeRestriction) -> date | None:
        """Return the first date whose session may run next."""
        candidates = []
        if last is not None:
            candidates.append(self._date_of(last.start) + timedelta(days=1))
        if restriction.earliest is not None:
            candidates.append(self._date_of(restriction.earliest))
        now = _within_reach(self.now())
        if not restriction.catchup and (last is None or now - MAX_GAP > last.end):
            newest = self._last_closed(now - self.delay)
            candidates += [] if newest is None else [newest.date]
        return max(candidates, default=None)

    def _date_of(self, instant: DateTime) -> date:
        return self.venue.date_of(_ns(_within_reach(instant)))

    def _last_closed(self, instant: DateTime) -> Session | None:
        return self._or_none(lambda: calendars.last_regular(self.venue, _ns(instant)))

    def _next_from(self, day: date) -> Session | None:
        if day >= _LAST.date():
            return None
        return self._or_none(lambda: calendars.next_regular(self.venue, day))

    def _or_none(self, query: Callable[[], Session | None]) -> Session | None:
        """Return the session of a calendar query. Log an error of the calendar and return None."""
        try:
            return query()
        except TruetapeError as error:
            logger("schedule").error("no_calendar", venue=self.venue.code, error=str(error))
            return None


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _within_reach(instant: DateTime) -> DateTime:
    return max(_FIRST, min(_LAST, instant))


def _interval(session: Session) -> DataInterval:
    opens, closes = session.open_ns or session.start_ns, session.close_ns or session.end_ns
    return DataInterval(*(pendulum.from_timestamp(ns // SECOND_NS) for ns in (opens, closes)))


def _is_before(session: Session, earliest: DateTime | None) -> bool:
    return earliest is not None and _interval(session).start < earliest


def _ns(instant: DateTime) -> int:
    return int(instant.timestamp()) * SECOND_NS


def _duration(delay: timedelta) -> str:
    minutes = int(delay.total_seconds()) // 60
    parts = [f"{minutes // 60} h"] if minutes >= 60 else []
    if minutes % 60 or not parts:
        parts.append(f"{minutes % 60} min")
    return " ".join(parts)
