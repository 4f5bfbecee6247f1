"""The frame of cancels and corrections: does each have a trade, and was it applied? Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.events import ArchivedAmendment
from truetape.market.amendments import TradeName, given_name, name_of
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Cancel, Position
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
    trade. Both are null if two trades of the session have the id that it names. `clashes`: the
    correction gave an id that another trade of the session has too.
    """
    events = [amendment.event for amendment in tables.amendments]
    targets = {} if tables.trades is None else _targets(tables.trades, tables)
    known = frozenset(targets) | (tables.named_before or frozenset())
    meant = {event.position: _meant(event, tables.given, known) for event in events}
    cancels = _cancels(tables.amendments, meant)
    clashes = _clashes(events, meant, targets)
    clashing = {given_name(event) for event in events if event.position in clashes}
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
            "found": _found(meant[event.position] in known, tables, may_wait=may_wait),
            "applied": _applied(event, targets.get(meant[event.position]), tables.session),
            "cancels": len(cancels.get(meant[event.position], ())),
            **({"applied": None, "cancels": None} if name_of(event) in clashing else {}),
            "clashes": event.position in clashes,
        }
        for event in events
    ]
    return table(
        rows,
        "kind:text symbol:text id:text received_ns:int topic:text partition:int offset:int "
        "index:int found:bool applied:bool cancels:int clashes:bool",
    )


def _meant(
    amendment: Amendment,
    given: Mapping[TradeName, TradeName],
    known: AbstractSet[TradeName],
) -> TradeName:
    """Return the name that the amendment's trade came with: its own, or the one from which
    corrections lead to it.
    """
    name, seen = name_of(amendment), set[TradeName]()
    while name not in known and name in given and name not in seen:
        seen.add(name)
        name = given[name]
    return name


def _clashes(
    events: Sequence[Amendment],
    meant: Mapping[Position, TradeName],
    targets: Mapping[TradeName, _Target],
) -> set[Position]:
    """Return the corrections that gave their trade the id of another trade of the session."""
    return {
        event.position
        for event in events
        if meant[event.position] in targets
        and given_name(event) in targets.keys() - {meant[event.position]}
    }


def _cancels(
    amendments: Sequence[ArchivedAmendment], meant: Mapping[Position, TradeName]
) -> Mapping[TradeName, set[str]]:
    """Return the digests of the payloads that cancel a trade, by its name."""
    digests: dict[TradeName, set[str]] = defaultdict(set)
    for amendment in amendments:
        if isinstance(amendment.event, Cancel):
            digests[meant[amendment.event.position]].add(amendment.digest)
    return digests


def _found(is_known: bool, tables: SessionTables, *, may_wait: bool) -> bool | None:
    if is_known:
        return True
    return None if may_wait or tables.named_before is None else False


def _applied(amendment: Amendment, target: _Target | None, session: Session) -> bool | None:
    if target is None or not target.received_ns <= amendment.received_ns < session.end_ns:
        return None
    return target.amended


def _targets(trades: pa.Table, tables: SessionTables) -> dict[TradeName, _Target]:
    """Return the first deliveries that amendments name, by themselves or by a chain, and those
    with an id that a correction gave.
    """
    named = {name_of(amendment.event) for amendment in tables.amendments}
    given = set(tables.given) | set(tables.given.values())
    ids = pa.array(sorted({name[3] for name in named | given}), pa.string())
    first = trades.filter(pc.and_(pc.is_in(trades["id"], ids), pc.invert(trades["duplicate"])))
    columns = ["feed", "symbol", "id", "received_ns", "cancelled", "corrected"]
    return {
        (row["feed"], tables.session.venue, row["symbol"], row["id"]): _Target(
            row["received_ns"], row["cancelled"] or row["corrected"]
        )
        for row in first.select(columns).to_pylist()
    }
