"""The careful lane: payloads read one by one by the reference, as Arrow tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Context, Limits
from truetape.feeds.decoder import decode as decode_payload
from truetape.kernel.columns import EVENTS, REJECTIONS
from truetape.market.rejection import Rejected
from truetape.market.trades import Cancel, Correction, Event, Trade, notional

_PART_ROWS = 16


def read(
    records: pa.Table, rows: Sequence[int], contract: Contract, limits: Limits
) -> tuple[pa.Table, pa.Table]:
    """Read some rows of `records`; return their `EVENTS` and `REJECTIONS`, in order."""
    events: list[dict[str, object]] = []
    rejections: list[dict[str, object]] = []
    for row, record in _rows(records, rows):
        payload: bytes = record.pop("value")
        for item in decode_payload(payload, contract, Context(**record), limits):
            if isinstance(item, Rejected):
                rejections.append(_rejection(row, item))
            else:
                events.append(_event(row, item))
    return pa.Table.from_pylist(events, EVENTS), pa.Table.from_pylist(rejections, REJECTIONS)


def _rows(records: pa.Table, rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows by their number; holds as few payloads as a part has."""
    for start in range(0, len(rows), _PART_ROWS):
        part = rows[start : start + _PART_ROWS]
        yield from zip(part, records.take(pa.array(part)).to_pylist(), strict=True)


def _rejection(row: int, item: Rejected) -> dict[str, object]:
    return {
        "record": row, "index": item.index, "reason": str(item.reason), "detail": item.detail,
    }  # fmt: skip


def _event(row: int, event: Event) -> dict[str, object]:
    columns: dict[str, object] = {
        "record": row, "index": event.position.index, "symbol": event.symbol,
        "venue": event.venue, "id": event.id, "event_ns": event.event_ns,
        "received_ns": event.received_ns,
    }  # fmt: skip
    match event:
        case Cancel():
            return columns | {"kind": "cancel"}
        case Correction():
            return columns | {"kind": "correct"} | _values(event)
        case Trade():
            own = {"sequence": event.sequence, "tape": event.tape, "exchange": event.exchange}
            return columns | {"kind": "trade"} | _values(event) | own


def _values(event: Trade | Correction) -> dict[str, object]:
    return {
        "price": event.price,
        "size": event.size,
        "notional": notional(event.price, event.size),
        "conditions": event.conditions,
    }
