"""Events as rows: the one way from a row of a table to an event of `market`."""

from collections.abc import Mapping
from typing import Any

from truetape.market.trades import Cancel, Correction, Event, Position, Trade


def event_of(row: Mapping[str, Any]) -> Event:
    """Build an event from a row of one: the event's columns, and those of its record. A row without
    `kind` is a trade.
    """
    position = Position(row["topic"], row["partition"], row["offset"], row["index"])
    names = ("feed", "venue", "symbol", "id", "event_ns", "received_ns")
    named = {name: row[name] for name in names}
    conditions = row["conditions"]
    match row.get("kind", "trade"):
        case "trade":
            return Trade(
                sequence=row["sequence"],
                price=row["price"],
                size=row["size"],
                conditions=tuple(conditions or ()),
                tape=row["tape"],
                exchange=row["exchange"],
                position=position,
                **named,
            )
        case "cancel":
            return Cancel(position=position, **named)
        case _:
            return Correction(
                price=row["price"],
                size=row["size"],
                conditions=None if conditions is None else tuple(conditions),
                position=position,
                **named,
            )
