"""The frame of cancels and corrections: did each find its trade, was it applied to it? Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.quality.columns import table
from truetape.quality.session_tables import Amending, SessionTables, TradeName

SETTLE_NS = 86_400 * SECOND_NS
"""How long after its session an amendment may wait for its trade."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A trade that an amendment may mean: when it was first received, whether it was amended."""

    received_ns: int
    amended: bool


def amendment_rows(tables: SessionTables, now_ns: int) -> pa.Table:
    """Return each cancel and correction with what became of it.

    `found`: its trade is of this session or one before; null while it may still come, and where the
    session before was not recomputed. `applied`: null unless it must mean a trade of this session,
    one received before it on the same day. `cancels`: how many different ones its trade has.
    """
    trades = {} if tables.trades is None else _amendable(tables.trades, tables.amendments)
    cancels: dict[TradeName, set[str]] = defaultdict(set)
    for one in tables.amendments:
        if one.kind == "cancel":
            cancels[one.name].add(one.digest)
    may_wait = now_ns < tables.session.end_ns + SETTLE_NS
    rows = [
        {
            "kind": one.kind,
            "symbol": one.symbol,
            "id": one.id,
            "received_ns": one.received_ns,
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
            "index": one.index,
            "found": _found(one, trades, tables.named_before, may_wait=may_wait),
            "applied": _applied(one, trades, tables.session),
            "cancels": len(cancels[one.name]),
        }
        for one in tables.amendments
    ]
    return table(
        rows,
        "kind:text symbol:text id:text received_ns:int topic:text partition:int offset:int "
        "index:int found:bool applied:bool cancels:int",
    )


def _found(
    one: Amending,
    trades: Mapping[TradeName, _Target],
    before: AbstractSet[TradeName] | None,
    *,
    may_wait: bool,
) -> bool | None:
    if one.name in trades or (before is not None and one.name in before):
        return True
    return None if may_wait or before is None else False


def _applied(one: Amending, trades: Mapping[TradeName, _Target], session: Session) -> bool | None:
    target = trades.get(one.name)
    if target is None or not target.received_ns <= one.received_ns < session.end_ns:
        return None
    return target.amended


def _amendable(trades: pa.Table, amendments: Sequence[Amending]) -> dict[TradeName, _Target]:
    """Return the first deliveries that amendments name."""
    ids = pa.array(sorted({one.id for one in amendments}), pa.string())
    some = trades.filter(pc.and_(pc.is_in(trades["id"], ids), pc.invert(trades["duplicate"])))
    columns = ["feed", "symbol", "id", "received_ns", "cancelled", "corrected"]
    return {
        (row["feed"], row["symbol"], row["id"]): _Target(
            row["received_ns"], row["cancelled"] or row["corrected"]
        )
        for row in some.select(columns).to_pylist()
    }
