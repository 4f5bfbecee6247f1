"""The frame of cancels and corrections: does each have a trade, and was it applied? Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.events import ArchivedAmendment
from truetape.market.canonical import TradeName, name_of
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Cancel
from truetape.quality.columns import table
from truetape.quality.session_tables import SessionTables

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
    events = [amendment.event for amendment in tables.amendments]
    targets = {} if tables.trades is None else _targets(tables.trades, events, tables.session)
    cancels = _cancels(tables.amendments)
    may_wait = now_ns < tables.session.end_ns + WAIT_NS
    rows = [
        {
            "kind": "cancel" if isinstance(event, Cancel) else "correct",
            "symbol": event.symbol,
            "id": event.id,
            "received_ns": event.received_ns,
            "topic": event.position.topic,
            "partition": event.position.partition,
            "offset": event.position.offset,
            "index": event.position.index,
            "found": _found(event, targets, tables.named_before, may_wait=may_wait),
            "applied": _applied(event, targets, tables.session),
            "cancels": len(cancels.get(name_of(event), ())),
        }
        for event in events
    ]
    return table(
        rows,
        "kind:text symbol:text id:text received_ns:int topic:text partition:int offset:int "
        "index:int found:bool applied:bool cancels:int",
    )


def _cancels(amendments: Sequence[ArchivedAmendment]) -> Mapping[TradeName, set[str]]:
    """Return the digests of the payloads that cancel a trade, by its name."""
    digests: dict[TradeName, set[str]] = defaultdict(set)
    for amendment in amendments:
        if isinstance(amendment.event, Cancel):
            digests[name_of(amendment.event)].add(amendment.digest)
    return digests


def _found(
    amendment: Amendment,
    targets: Mapping[TradeName, _Target],
    before: AbstractSet[TradeName] | None,
    *,
    may_wait: bool,
) -> bool | None:
    name = name_of(amendment)
    if name in targets or (before is not None and name in before):
        return True
    return None if may_wait or before is None else False


def _applied(
    amendment: Amendment, targets: Mapping[TradeName, _Target], session: Session
) -> bool | None:
    target = targets.get(name_of(amendment))
    if target is None or not target.received_ns <= amendment.received_ns < session.end_ns:
        return None
    return target.amended


def _targets(
    trades: pa.Table, amendments: Sequence[Amendment], session: Session
) -> dict[TradeName, _Target]:
    """Return the first deliveries that amendments name."""
    ids = pa.array(sorted({amendment.id for amendment in amendments}), pa.string())
    first = trades.filter(pc.and_(pc.is_in(trades["id"], ids), pc.invert(trades["duplicate"])))
    columns = ["feed", "symbol", "id", "received_ns", "cancelled", "corrected"]
    return {
        (row["feed"], session.venue, row["symbol"], row["id"]): _Target(
            row["received_ns"], row["cancelled"] or row["corrected"]
        )
        for row in first.select(columns).to_pylist()
    }
