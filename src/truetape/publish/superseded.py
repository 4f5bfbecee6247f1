"""Superseded rows: final rows that a later publication replaced, kept for good.

With the served rows they give every rev of a session. Only changed rows are stored, so a session
that was published once has none. Decides nothing about what is served.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from truetape.lake.tables import session_filters, table_path
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.store import IndicatorRow, Key, ServedBar

if TYPE_CHECKING:
    import pyarrow

TABLE = "superseded"
_NUMBERS = ("open", "high", "low", "close", "volume", "vwap")


class _Revised(Protocol):
    @property
    def key(self) -> Key: ...

    @property
    def rev(self) -> int: ...


RevisedRow = TypeVar("RevisedRow", bound=_Revised)


@dataclass(frozen=True, slots=True)
class Superseded:
    """The superseded rows of one session, by resolution."""

    bars: Mapping[Resolution, list[ServedBar]]
    indicators: Mapping[Resolution, list[IndicatorRow]]


def newest_up_to(rev: int, rows: Iterable[RevisedRow]) -> dict[Key, RevisedRow]:
    """Return for each key its newest superseded row whose rev is not above `rev`."""
    best: dict[Key, RevisedRow] = {}
    for row in rows:
        if row.rev <= rev and (row.key not in best or best[row.key].rev <= row.rev):
            best[row.key] = row
    return best


def rows_as_of(
    served: Iterable[RevisedRow], best: Mapping[Key, RevisedRow], rev: int
) -> Iterator[RevisedRow]:
    """Yield the rows that were served as of a rev, in the order of the served ones.

    `best` is the result of `newest_up_to` for that rev. No row is ever deleted, so each row of an
    older rev has a served successor. Provisional rows (rev 0) belong to no publication.
    """
    for row in served:
        match = row if 0 < row.rev <= rev else best.get(row.key)
        if match is not None:
            yield match


def append_bars(lake: str, session: Session, resolution: Resolution, rows: list[ServedBar]) -> None:
    """Append bars that are about to be replaced; appending a row twice does no harm."""
    _append(
        lake,
        session,
        [
            {name: getattr(bar, name) for name in ("symbol", "start_ns", "rev", "seq", "void")}
            | {name: getattr(bar, name) for name in (*_NUMBERS, "trades")}
            | {"kind": "bar", "resolution": resolution.value, "values": ""}
            for bar in rows
        ],
    )


def append_indicators(
    lake: str, session: Session, resolution: Resolution, rows: list[IndicatorRow]
) -> None:
    """Append indicator rows that are about to be replaced."""
    _append(
        lake,
        session,
        [
            {name: getattr(row, name) for name in ("symbol", "start_ns", "rev", "void")}
            | dict.fromkeys(_NUMBERS, 0.0)
            | {"kind": "indicator", "resolution": resolution.value, "trades": 0, "seq": 0}
            | {"values": json.dumps(dict(row.values))}
            for row in rows
        ],
    )


def read_superseded(lake: str, session: Session) -> Superseded:
    """Read the superseded rows of a session."""
    from deltalake import DeltaTable

    path = table_path(lake, TABLE)
    bars: dict[Resolution, list[ServedBar]] = {resolution: [] for resolution in Resolution}
    indicators: dict[Resolution, list[IndicatorRow]] = {resolution: [] for resolution in Resolution}
    if DeltaTable.is_deltatable(path):
        filters = session_filters(session)
        for row in DeltaTable(path).to_pyarrow_table(filters=filters).to_pylist():
            resolution = Resolution(row["resolution"])
            if row["kind"] == "bar":
                bars[resolution].append(_bar(row))
            else:
                indicators[resolution].append(_indicator(row))
    return Superseded(bars, indicators)


def _append(lake: str, session: Session, rows: list[dict[str, Any]]) -> None:
    from deltalake import write_deltalake

    if not rows:
        return
    place = {"venue": session.venue, "session": session.date}
    table = _table([place | row for row in rows])
    path = table_path(lake, TABLE)
    write_deltalake(path, table, mode="append", partition_by=["venue", "session"])


def _table(rows: list[dict[str, Any]]) -> "pyarrow.Table":
    import pyarrow

    text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    schema = pyarrow.schema(
        [
            ("venue", text), ("session", pyarrow.date32()), ("kind", text), ("resolution", text),
            ("symbol", text), ("start_ns", whole), ("rev", whole), ("seq", whole),
            ("void", pyarrow.bool_()), ("trades", whole), ("values", text),
            *((name, number) for name in _NUMBERS),
        ]
    )  # fmt: skip
    return pyarrow.Table.from_pylist(rows, schema=schema)


def _bar(row: Mapping[str, Any]) -> ServedBar:
    names = ("symbol", "venue", "start_ns", "rev", "seq", "void", "trades", *_NUMBERS)
    return ServedBar(layer="batch", final=True, **{name: row[name] for name in names})


def _indicator(row: Mapping[str, Any]) -> IndicatorRow:
    names = ("symbol", "venue", "start_ns", "rev", "void")
    return IndicatorRow(values=json.loads(row["values"]), **{name: row[name] for name in names})
