"""Where tables of the lake lie, and which rows of them are a session's: for readers and writers of
Delta's files that do without Spark.
"""

from enum import StrEnum

from truetape.market.sessions import Session

Filters = list[tuple[str, str, object]]
"""Conditions on columns, all of which hold, as pyarrow and deltalake take them."""


class Table(StrEnum):
    """The tables, each by the folder it lies in."""

    RAW = "raw"
    COUNTED = "counted"
    TRADES = "trades"
    BARS = "bars"
    BASIS = "basis"
    DIRTY = "dirty"
    SUPERSEDED = "superseded"
    DRIFT = "drift"
    PUBLICATIONS = "publications"


def table_path(lake: str, table: str) -> str:
    """Return the folder or URL of one table."""
    return f"{lake.rstrip('/')}/{table}"


def session_filters(session: Session) -> Filters:
    """Choose the rows of a session in a table that is partitioned by venue and session."""
    return [("venue", "=", session.venue), ("session", "=", session.date)]


def session_where(session: Session) -> str:
    """Return the same as a condition of SQL."""
    return f"venue = '{session.venue}' AND session = '{session.date.isoformat()}'"


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
