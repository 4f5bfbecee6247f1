"""Venues: reads `schemas/venues.yaml`, the markets that bars belong to. Asks no calendar."""

import re
from datetime import date, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, model_validator

from truetape.host.dates import shown
from truetape.host.declared_yaml import WORD, Declared, Flag, Text, Version, Whole, problem, read
from truetape.host.errors import ConfigError
from truetape.host.resources import OWN_SCHEMAS, schema_folders
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue

_CODE = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_WALL_CLOCK = re.compile("(-1 )?([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY_MIN = 24 * 60
_HOUR_NS = 3_600 * SECOND_NS
_LEAP_YEAR = 2024
_ONLY_WITH_CALENDAR = ("after_hours_min", "closes", "closing_auction_min")
_ONLY_WITHOUT_CALENDAR = ("weekdays", "closed")
_EACH_MONTH = [date(_LEAP_YEAR, month, 1) for month in range(1, 13)]


@cache
def venues() -> dict[str, Venue]:
    """Return every declared venue by its code. Raise ConfigError with file, line and field.

    A venue of the user's own schemas replaces ours of the same code.
    """
    files = [each / "venues.yaml" for each in reversed(schema_folders())]
    declared: dict[str, Venue] = {}
    for file in files:
        declared |= venues_in(file) if file.is_file() else {}
    return declared


def how_to_add(code: str) -> str:
    """Return what to write, and where, for a venue that is not declared."""
    shown_code = code if _CODE.fullmatch(code) else "ACME"
    lines = f"version: 1, and under venues: {shown_code}: {{name: {shown_code.title()}, zone: UTC}}"
    return f"add it to venues.yaml in a folder named by {OWN_SCHEMAS} ({lines})"


def venue_named(code: str) -> Venue:
    """Return the venue of a code. Raise ConfigError with the declared codes if there is none."""
    declared = venues()
    if not isinstance(code, str) or code not in declared:  # a program may pass anything
        added = how_to_add(code if isinstance(code, str) else "")
        raise ConfigError(
            f"no venue {shown(code)}; there are {', '.join(sorted(declared))}; or {added}"
        )
    return declared[code]


def venues_in(path: Path) -> dict[str, Venue]:
    """Return the venues of one file. Raise ConfigError with file, line and field."""
    return {code: entry.venue(code) for code, entry in read(path, _VenuesFile).venues.items()}


def _check_code(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("is no venue code; use 2 to 16 capitals and digits")
    return code


def _check_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"is {zone!r}, which is no IANA time zone") from None
    return zone


def _wall_clock(written: object) -> object:
    """Return a time of day in minutes from the midnight of a session's date."""
    found = _WALL_CLOCK.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise ValueError(f"is {written!r}; write 17:00, or -1 17:00 for the evening before")
    before, hours, minutes = found.groups()
    return int(hours) * 60 + int(minutes) - (_DAY_MIN if before else 0)


def _check_month_and_day(text: str) -> str:
    try:
        date.fromisoformat(f"{_LEAP_YEAR}-{text}")
    except ValueError:
        raise ValueError(f"is {text!r}; write month and day, like 12-25") from None
    return text


class _Weekday(Enum):
    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


class _VenueEntry(Declared):
    name: Text
    zone: Annotated[Text, AfterValidator(_check_zone)]
    calendar: Text | None = None
    after_hours_min: Whole = 0
    begins: Annotated[int, BeforeValidator(_wall_clock)] = 0
    closes: Annotated[int, BeforeValidator(_wall_clock)] | None = None
    closing_auction_min: tuple[Whole, Whole] | None = None
    weekdays: tuple[Annotated[_Weekday, WORD], ...] = tuple(_Weekday)
    closed: tuple[Annotated[Text, AfterValidator(_check_month_and_day)], ...] = ()
    us_equities: Flag = False

    @model_validator(mode="after")
    def _check_calendar(self) -> Self:
        fields = self.model_fields_set
        if self.calendar is None and self.zone != "UTC" and "begins" not in fields:
            reason = f"is {self.zone!r}; a venue without a calendar trades by the UTC day, or says"
            raise problem(f"{reason} when its session `begins`", "zone")
        for name in _ONLY_WITH_CALENDAR if self.calendar is None else ():
            if name in fields:
                raise problem("has no meaning where trading never stops; name a calendar", name)
        for name in _ONLY_WITHOUT_CALENDAR if self.calendar else ():
            if name in fields:
                raise problem("has no meaning beside a calendar, which has the closed days", name)
        if not self.weekdays:
            raise problem("is empty; name the days with a session, like [Mon, Tue]", "weekdays")
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        venue = self.venue("ANY")
        starts = [venue.session_start_ns(day) for day in _EACH_MONTH]
        if "begins" in self.model_fields_set and any(start % _HOUR_NS for start in starts):
            reason = "is no whole hour of UTC: a 1h bar would be of two sessions"
            raise problem(f"{reason}; choose another time of the break", "begins")
        if self.closing_auction_min is not None:
            first, end = self.closing_auction_min
            if not first < end <= self.after_hours_min:
                reason = f"is {first} to {end}; give two minutes after the close, in order"
                raise problem(f"{reason}, within after_hours_min", "closing_auction_min")
        return self

    def venue(self, code: str) -> Venue:
        return Venue(
            code,
            self.name,
            self.zone,
            self.calendar,
            timedelta(minutes=self.after_hours_min),
            begins_min=self.begins,
            closes_min=self.closes,
            auction_min=self.closing_auction_min,
            weekdays=tuple(sorted({list(_Weekday).index(day) for day in self.weekdays})),
            closed=self.closed,
            us_equities=self.us_equities,
        )


class _VenuesFile(Declared):
    version: Version
    venues: dict[Annotated[str, AfterValidator(_check_code)], _VenueEntry]
