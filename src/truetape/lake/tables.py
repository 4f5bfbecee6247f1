"""Names of the lake's tables, where they lie, and the conditions that select a session's rows.

Opens nothing: `delta` does.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from truetape.market.sessions import Session

if TYPE_CHECKING:
    from pyarrow.dataset import Expression

Filters = list[tuple[str, str, object]]
"""Conditions on columns, as pyarrow and deltalake take them; all of them must be true."""


class Table(StrEnum):
    """The tables; each value is the name of the table's folder."""

    RAW = "raw"
    COVERAGE = "counted"
    GENERATIONS = "generations"
    TRADES = "trades"
    BARS = "bars"
    BARS_LINEAGE = "basis"
    DIRTY = "dirty"
    SUPERSEDED = "superseded"
    DRIFT = "drift"
    PUBLICATIONS = "publications"


def table_path(lake: str, table: Table) -> str:
    """Return the folder or URL of a table."""
    return f"{lake.rstrip('/')}/{table}"


def session_filters(session: Session) -> Filters:
    """Return the filters for a session's rows in a table partitioned by venue and session."""
    return [("venue", "=", session.venue), ("session", "=", session.date)]


def session_condition(session: Session) -> "Expression":
    """Return the same as a condition of Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_venue: Expression = pc.field("venue") == session.venue
    return is_venue & (pc.field("session") == pa.scalar(session.date))


def session_where(session: Session) -> str:
    """Return the same as an SQL condition."""
    return f"venue = '{session.venue}' AND session = '{session.date.isoformat()}'"
