"""Venues: reads `schemas/venues.yaml`, the markets that bars belong to. Asks no calendar."""

import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, model_validator

from truetape.host.dates import shown
from truetape.host.declared_yaml import Declared, Text, Version, Whole, problem, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.sessions import Venue

_CODE = re.compile(r"[A-Z][A-Z0-9]{1,15}")


@cache
def venues() -> dict[str, Venue]:
    """Return every declared venue by its code. Raise ConfigError with file, line and field."""
    return venues_in(folder("schemas") / "venues.yaml")


def venue_named(code: str) -> Venue:
    """Return the venue of a code. Raise ConfigError with the declared codes if there is none."""
    declared = venues()
    if not isinstance(code, str) or code not in declared:  # a program may pass anything
        raise ConfigError(
            f"no venue {shown(code)}; schemas/venues.yaml has {', '.join(sorted(declared))}"
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


class _VenueEntry(Declared):
    name: Text
    zone: Annotated[Text, AfterValidator(_check_zone)]
    calendar: Text | None = None
    after_hours_min: Whole = 0

    @model_validator(mode="after")
    def _check_calendar(self) -> Self:
        if self.calendar is None and self.zone != "UTC":
            reason = f"is {self.zone!r}; a venue without a calendar trades by the UTC day"
            raise problem(reason, "zone")
        if self.calendar is None and self.after_hours_min:
            raise problem("has no meaning where trading never stops", "after_hours_min")
        return self

    def venue(self, code: str) -> Venue:
        after_hours = timedelta(minutes=self.after_hours_min)
        return Venue(code, self.name, self.zone, self.calendar, after_hours)


class _VenuesFile(Declared):
    version: Version
    venues: dict[Annotated[str, AfterValidator(_check_code)], _VenueEntry]
