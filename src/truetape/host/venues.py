"""Venues: reads `schemas/venues.yaml`, the markets that bars belong to. Asks no calendar."""

import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from truetape.host.declared_yaml import Node, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.sessions import Venue

_CODE = re.compile(r"[A-Z][A-Z0-9]{1,15}")


@cache
def venues() -> dict[str, Venue]:
    """Return every declared venue by its code; ConfigError names file, line and field."""
    return venues_in(folder("schemas") / "venues.yaml")


def venue_named(code: str) -> Venue:
    """Return the venue of a code; ConfigError lists the known ones."""
    known = venues()
    if code not in known:
        raise ConfigError(f"no venue {code!r}; schemas/venues.yaml has {', '.join(sorted(known))}")
    return known[code]


def venues_in(path: Path) -> dict[str, Venue]:
    """Return the venues of one file; ConfigError names file, line and field."""
    root = read(path).mapping(("version", "venues"), ())
    root["version"].whole(1)
    return {code: _venue(code, node) for code, node in root["venues"].mapping().items()}


def _venue(code: str, node: Node) -> Venue:
    if not _CODE.fullmatch(code):
        node.fail("is no venue code; use 2 to 16 capitals and digits")
    fields = node.mapping(("name", "zone"), ("calendar", "after_hours_min"))
    zone = fields["zone"].text()
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        fields["zone"].fail(f"is {zone!r}, which is no IANA time zone")
    calendar = fields["calendar"].text() if "calendar" in fields else None
    if calendar is None and zone != "UTC":
        fields["zone"].fail(f"is {zone!r}; a venue without a calendar trades by the UTC day")
    minutes = fields["after_hours_min"].whole() if "after_hours_min" in fields else 0
    if minutes and calendar is None:
        fields["after_hours_min"].fail("has no meaning where trading never stops")
    return Venue(code, fields["name"].text(), zone, calendar, timedelta(minutes=minutes))
