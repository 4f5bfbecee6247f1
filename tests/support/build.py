"""Builders for trades and venues in tests: every default is the boring value."""

from datetime import UTC, datetime
from decimal import Decimal

from truetape.market.sessions import Venue
from truetape.market.trades import Cancel, Correction, Position, Trade

NEW_YORK = Venue("XNYS", "New York Stock Exchange", "America/New_York", "XNYS", us_equities=True)
KRAKEN = Venue("KRAKEN", "Kraken", "UTC", None)
VENUES = {venue.code: venue for venue in (NEW_YORK, KRAKEN)}
SECOND = 1_000_000_000


def at(text: str) -> int:
    """Return the epoch nanoseconds of an ISO time in UTC, such as "2026-11-20T14:31:10"."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1_000


NOON = at("2026-11-20T17:00:00")
READ_MS = at("2100-01-01T00:00:00") // 1_000_000
"""A time of reading after everything that files in tests have."""


def trade(price: str = "100", size: str = "10", **fields: object) -> Trade:
    """Build a trade of IBM at noon New York; `received_ns` follows `event_ns`, position
    the offset.
    """
    offset = int(str(fields.pop("offset", 0)))
    event_ns = fields.pop("event_ns", NOON)
    values: dict[str, object] = {
        "feed": "truetape",
        "venue": "XNYS",
        "symbol": "IBM",
        "id": None,
        "sequence": None,
        "event_ns": event_ns,
        "received_ns": event_ns,
        "price": Decimal(price),
        "size": Decimal(size),
        "conditions": (),
        "tape": None,
        "exchange": None,
        "position": Position("trades", 0, offset),
    }
    return Trade(**(values | fields))  # type: ignore[arg-type]


def cancel(id: str, received_ns: int = NOON, offset: int = 1_000, **fields: object) -> Cancel:
    """Build a cancel of an IBM trade."""
    values: dict[str, object] = {
        "feed": "truetape",
        "venue": "XNYS",
        "symbol": "IBM",
        "id": id,
        "event_ns": None,
        "received_ns": received_ns,
        "position": Position("trades", 0, offset),
    }
    return Cancel(**(values | fields))  # type: ignore[arg-type]


def correction(
    id: str, price: str, size: str, received_ns: int = NOON, offset: int = 1_000, **fields: object
) -> Correction:
    """Build a correction of an IBM trade."""
    values: dict[str, object] = {
        "feed": "truetape",
        "venue": "XNYS",
        "symbol": "IBM",
        "id": id,
        "event_ns": None,
        "received_ns": received_ns,
        "price": Decimal(price),
        "size": Decimal(size),
        "conditions": None,
        "new_id": None,
        "position": Position("trades", 0, offset),
    }
    return Correction(**(values | fields))  # type: ignore[arg-type]
