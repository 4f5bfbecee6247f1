"""Superseded rows: final rows that a later publication replaced, kept for good.

With the served rows they give every rev of a session. Only changed rows are stored, so a session
that was published once has none. Decides nothing about what is served.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.delta import append_table, open_or_none
from truetape.lake.schemas import SCHEMAS
from truetape.lake.tables import Table, session_filters
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving import bar_table, indicator_table
from truetape.serving.row_keys import KEY, matches
from truetape.serving.schema import INDICATOR_NAMES
from truetape.serving.store import BAR_NUMBERS

_SCHEMA = SCHEMAS[Table.SUPERSEDED]


@dataclass(frozen=True, slots=True)
class Superseded:
    """The superseded rows of one session, by resolution; see `bar_table`, `indicator_table`."""

    bars: Mapping[Resolution, pa.Table]
    indicators: Mapping[Resolution, pa.Table]


def rows_as_of(served: pa.Table, superseded: pa.Table, rev: int) -> pa.Table:
    """Return the rows, of bars or of indicators, that were served as of a rev, by symbol, venue and
    start.

    No row is ever deleted, so each row of an older rev has a served successor. Provisional rows
    (rev 0) belong to no publication.
    """
    revs = served.column("rev")
    is_current = pc.and_(pc.greater(revs, 0), pc.less_equal(revs, rev))
    successors = served.filter(pc.invert(is_current))
    best = _newest_up_to(rev, superseded)
    old = best.take(matches(successors, best).drop_null())
    rows = pa.concat_tables([served.filter(is_current), old])
    return rows.sort_by([(name, "ascending") for name in KEY])


def append_bars(lake: str, session: Session, rows: Mapping[Resolution, pa.Table]) -> None:
    """Append bars that are about to be replaced; appending a row twice does no harm."""
    _append(lake, session, "bar", rows)


def append_indicators(lake: str, session: Session, resolution: Resolution, rows: pa.Table) -> None:
    """Append indicator rows that are about to be replaced."""
    _append(lake, session, "indicator", {resolution: rows})


def read_superseded(lake: str, session: Session) -> Superseded:
    """Read the superseded rows of a session."""
    opened = open_or_none(lake, Table.SUPERSEDED)
    rows = _SCHEMA.empty_table() if opened is None else opened.rows(session_filters(session))

    def of(kind: str, resolution: Resolution) -> pa.Table:
        is_kind = pc.equal(rows.column("kind"), kind)
        return rows.filter(pc.and_(is_kind, pc.equal(rows.column("resolution"), resolution.value)))

    return Superseded(
        {resolution: _bars(of("bar", resolution)) for resolution in Resolution},
        {resolution: _indicators(of("indicator", resolution)) for resolution in Resolution},
    )


def _newest_up_to(rev: int, rows: pa.Table) -> pa.Table:
    """Return for each key its newest row whose rev is not above `rev`."""
    order: Any = [*((name, "ascending") for name in KEY), ("rev", "descending")]
    rows = rows.filter(pc.less_equal(rows.column("rev"), rev)).sort_by(order).combine_chunks()
    if len(rows) < 2:
        return rows
    is_next = np.zeros(len(rows) - 1, dtype=np.bool_)
    for name in KEY:
        column = rows.column(name)
        is_next |= pc.not_equal(column.slice(1), column.slice(0, len(rows) - 1)).to_numpy()
    return rows.filter(pa.array(np.concatenate([[True], is_next])))


def _append(lake: str, session: Session, kind: str, rows: Mapping[Resolution, pa.Table]) -> None:
    tables = [_superseded(session, kind, width, part) for width, part in rows.items() if len(part)]
    if tables:
        append_table(lake, Table.SUPERSEDED, pa.concat_tables(tables))


def _superseded(session: Session, kind: str, resolution: Resolution, rows: pa.Table) -> pa.Table:
    """Return rows in the columns of the lake's table; what a kind of row lacks is 0 or empty."""
    same = {"venue": session.venue, "session": session.date, "kind": kind}
    same |= {"resolution": resolution.value, "values": "", "trades": 0, "seq": 0}
    same |= dict.fromkeys(BAR_NUMBERS, 0.0)
    own = {name: rows.column(name) for name in _SCHEMA.names if name in rows.column_names}
    if kind == "indicator":
        own["values"] = pa.chunked_array([_json(rows)], pa.string())
    own.pop("venue")
    columns = [
        own[field.name].cast(field.type)
        if field.name in own
        else pa.repeat(pa.scalar(same[field.name], field.type), len(rows))
        for field in _SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _bars(rows: pa.Table) -> pa.Table:
    known = rows.select([name for name in bar_table.COLUMNS if name in rows.column_names])
    states = {"layer": pa.repeat("batch", len(rows)), "final": pa.repeat(True, len(rows))}
    columns = {name: known.column(name) for name in known.column_names} | states
    return pa.table({name: columns[name] for name in bar_table.COLUMNS}).cast(bar_table.SCHEMA)


def _indicators(rows: pa.Table) -> pa.Table:
    kept = rows.select([*KEY, "rev", "void", "values"]).to_pylist()
    flat = [row | json.loads(row.pop("values")) for row in kept]
    return pa.Table.from_pylist(flat, schema=indicator_table.SCHEMA)


def _json(rows: pa.Table) -> "list[str]":
    """Return the values of each indicator row as JSON, without the absent ones."""
    values = rows.select(INDICATOR_NAMES).to_pylist()
    return [
        json.dumps({name: value for name, value in row.items() if value is not None})
        for row in values
    ]
