"""The careful lane: payloads read one by one by the reference, as Arrow tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Context, Limits
from truetape.feeds.decoder import decode as decode_payload
from truetape.kernel.columns import EVENTS, REJECTIONS
from truetape.kernel.events import row_of
from truetape.market.rejection import Rejected

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
                events.append({"record": row} | row_of(item))
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
