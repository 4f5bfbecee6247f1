"""The native feed as text: one JSON line an event, the interchange format of the command line.

Decodes nothing: the contract `schemas/feeds/truetape.yaml` does.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal

from truetape.market.rejection import Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.trades import Cancel, Correction, Event, Trade


def encode(event: Event) -> str:
    """Return an event as one JSON line without its line end.

    Keys have a fixed order; absent values are left out. Times are ISO 8601 in UTC with 0, 3, 6 or 9
    decimals; prices and sizes keep their decimals and have no exponent.
    """
    match event:
        case Trade():
            return _line(
                kind="trade",
                symbol=event.symbol,
                venue=event.venue,
                id=event.id,
                sequence=event.sequence,
                event_time=iso(event.event_ns),
                received_time=iso(event.received_ns),
                price=plain(event.price),
                size=plain(event.size),
                conditions=list(event.conditions),
                tape=event.tape,
                exchange=event.exchange,
            )
        case Cancel():
            return _line(
                kind="cancel",
                symbol=event.symbol,
                venue=event.venue,
                id=event.id,
                event_time=None if event.event_ns is None else iso(event.event_ns),
                received_time=iso(event.received_ns),
            )
        case Correction():
            return _line(
                kind="correct",
                symbol=event.symbol,
                venue=event.venue,
                id=event.id,
                event_time=None if event.event_ns is None else iso(event.event_ns),
                price=plain(event.price),
                size=plain(event.size),
                conditions=None if event.conditions is None else list(event.conditions),
                new_id=event.new_id,
                received_time=iso(event.received_ns),
            )


def encode_rejected(rejected: Rejected, line: int | None = None) -> str:
    """Return the JSON line of a rejection. `line` is the payload's line in its file, from 1."""
    return _line(
        kind="rejected",
        reason=str(rejected.reason),
        detail=rejected.detail,
        index=rejected.index,
        line=line,
    )


def iso(instant_ns: int) -> str:
    """Return an instant as ISO 8601 with Z, without trailing groups of three zeros."""
    seconds, fraction = divmod(instant_ns, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}"
    while decimals.endswith("000"):
        decimals = decimals[:-3]
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def plain(value: Decimal) -> str:
    """Return a decimal without exponent."""
    return format(value, "f")


def _line(**fields: object) -> str:
    present = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(present, separators=(",", ":"))
