"""The frame of cancels and corrections: does each have a trade, and was it applied? Pure."""

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

WAIT_NS = 86_400 * SECOND_NS
"""An amendment may wait this long after its session for its trade."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A trade that an amendment may name: its first receipt, and whether it was amended."""

    received_ns: int
    amended: bool


def amendment_rows(tables: SessionTables, now_ns: int) -> pa.Table:
    """Return each cancel and correction with its outcome.

    `found`: this session or an earlier one has its trade; null while the trade may still come, and
    if the session before was not recomputed. `applied`: null unless it must name a trade of this
    session, received before it on the same day. `cancels`: the number of distinct cancels of its
    trade.
    """
    trades = {} if tables.trades is None else _amendable(tables.trades, tables.amendments)
    cancels: dict[TradeName, set[str]] = defaultdict(set)
    for amendment in tables.amendments:
        if amendment.kind == "cancel":
            cancels[amendment.name].add(amendment.digest)
    may_wait = now_ns < tables.session.end_ns + WAIT_NS
    rows = [
        {
            "kind": amendment.kind,
            "symbol": amendment.symbol,
            "id": amendment.id,
            "received_ns": amendment.received_ns,
            "topic": amendment.topic,
            "partition": amendment.partition,
            "offset": amendment.offset,
            "index": amendment.index,
            "found": _found(amendment, trades, tables.named_before, may_wait=may_wait),
            "applied": _applied(amendment, trades, tables.session),
            "cancels": len(cancels[amendment.name]),
        }
        for amendment in tables.amendments
    ]
    return table(
        rows,
        "kind:text symbol:text id:text received_ns:int topic:text partition:int offset:int "
        "index:int found:bool applied:bool cancels:int",
    )


def _found(
    amendment: Amending,
    trades: Mapping[TradeName, _Target],
    before: AbstractSet[TradeName] | None,
    *,
    may_wait: bool,
) -> bool | None:
    if amendment.name in trades or (before is not None and amendment.name in before):
        return True
    return None if may_wait or before is None else False


def _applied(
    amendment: Amending, trades: Mapping[TradeName, _Target], session: Session
) -> bool | None:
    target = trades.get(amendment.name)
    if target is None or not target.received_ns <= amendment.received_ns < session.end_ns:
        return None
    return target.amended


def _amendable(trades: pa.Table, amendments: Sequence[Amending]) -> dict[TradeName, _Target]:
    """Return the first deliveries of the trades that amendments name."""
    ids = pa.array(sorted({amendment.id for amendment in amendments}), pa.string())
    named = trades.filter(pc.and_(pc.is_in(trades["id"], ids), pc.invert(trades["duplicate"])))
    columns = ["feed", "symbol", "id", "received_ns", "cancelled", "corrected"]
    return {
        (row["feed"], row["symbol"], row["id"]): _Target(
            row["received_ns"], row["cancelled"] or row["corrected"]
        )
        for row in named.select(columns).to_pylist()
    }
