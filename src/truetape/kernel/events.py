"""Events as rows: the one way from a row of a table to an event of `market`, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import NAME, Array
from truetape.market.trades import (
    Amendment,
    Cancel,
    Correction,
    Event,
    Position,
    Trade,
    notional,
)


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
                new_id=row["new_id"],
                position=position,
                **named,
            )


def row_of(event: Event) -> dict[str, object]:
    """Return the row of an event, in the columns of `kernel.columns.DELIVERIES`."""
    place = event.position
    columns: dict[str, object] = {
        "feed": event.feed, "venue": event.venue, "symbol": event.symbol, "id": event.id,
        "event_ns": event.event_ns, "received_ns": event.received_ns, "topic": place.topic,
        "partition": place.partition, "offset": place.offset, "index": place.index,
    }  # fmt: skip
    match event:
        case Cancel():
            return columns | {"kind": "cancel"}
        case Correction():
            return columns | {"kind": "correct", "new_id": event.new_id} | _values(event)
        case Trade():
            own = {"sequence": event.sequence, "tape": event.tape, "exchange": event.exchange}
            return columns | {"kind": "trade"} | own | _values(event)


def _values(event: Trade | Correction) -> dict[str, object]:
    return {
        "price": event.price,
        "size": event.size,
        "notional": notional(event.price, event.size),
        "conditions": event.conditions,
    }


def amendments_in(rows: pa.Table) -> list[Amendment]:
    """Return the cancels and corrections among rows."""
    events = map(event_of, rows.to_pylist())
    return [event for event in events if not isinstance(event, Trade)]


def names_of(rows: pa.Table) -> pa.Table:
    """Return the distinct names of rows."""
    return rows.select(list(NAME)).group_by(list(NAME)).aggregate([])


def concerned(amendments: pa.Table) -> pa.Table:
    """Return the distinct names that amendments name or give."""
    renaming = amendments.filter(pc.field("new_id").is_valid())
    given = renaming.drop_columns(["id"]).rename_columns({"new_id": "id"})
    names = list(NAME)
    return names_of(pa.concat_tables([amendments.select(names), given.select(names)]))


def places_of(rows: pa.Table, names: pa.Table) -> Array:
    """Return which rows have the values of one of the names in all columns of `names`, in order."""
    keys = names.column_names
    numbered = rows.select(keys).append_column("_row", pa.array(np.arange(rows.num_rows)))
    places = numbered.join(names, keys, join_type="left semi")["_row"]
    return places.combine_chunks().sort()
