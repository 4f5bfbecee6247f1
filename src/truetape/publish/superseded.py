"""Superseded rows: final rows that a later publication replaced, kept for good.

With the served rows they give every rev of a session. Only changed rows are stored, so a session
that was published once has none. Decides nothing about what is served.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from truetape.lake.delta import append_rows, read_rows
from truetape.lake.tables import Table, session_filters
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.store import BAR_NUMBERS, IndicatorRow, Key, ServedBar


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
            | {name: getattr(bar, name) for name in (*BAR_NUMBERS, "trades")}
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
            | dict.fromkeys(BAR_NUMBERS, 0.0)
            | {"kind": "indicator", "resolution": resolution.value, "trades": 0, "seq": 0}
            | {"values": json.dumps(dict(row.values))}
            for row in rows
        ],
    )


def read_superseded(lake: str, session: Session) -> Superseded:
    """Read the superseded rows of a session."""
    bars: dict[Resolution, list[ServedBar]] = {resolution: [] for resolution in Resolution}
    indicators: dict[Resolution, list[IndicatorRow]] = {resolution: [] for resolution in Resolution}
    for row in read_rows(lake, Table.SUPERSEDED, session_filters(session)):
        resolution = Resolution(row["resolution"])
        if row["kind"] == "bar":
            bars[resolution].append(_bar(row))
        else:
            indicators[resolution].append(_indicator(row))
    return Superseded(bars, indicators)


def _append(lake: str, session: Session, rows: list[dict[str, Any]]) -> None:
    place = {"venue": session.venue, "session": session.date}
    append_rows(lake, Table.SUPERSEDED, [place | row for row in rows])


def _bar(row: Mapping[str, Any]) -> ServedBar:
    names = ("symbol", "venue", "start_ns", "rev", "seq", "void", "trades", *BAR_NUMBERS)
    return ServedBar(layer="batch", final=True, **{name: row[name] for name in names})


def _indicator(row: Mapping[str, Any]) -> IndicatorRow:
    names = ("symbol", "venue", "start_ns", "rev", "void")
    return IndicatorRow(values=json.loads(row["values"]), **{name: row[name] for name in names})
