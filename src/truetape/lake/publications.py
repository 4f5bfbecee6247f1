"""The ledger of publications: one row for each rev of each session. Publishes nothing itself."""

from dataclasses import asdict, dataclass
from datetime import date

from truetape.lake.delta import append_rows, read_rows
from truetape.lake.tables import Filters, Table, session_filters
from truetape.market.sessions import Session


@dataclass(frozen=True, slots=True)
class Publication:
    """One row of `publications`: what was made final, from which tables, by whom and why.

    `restores` is the rev that a revert brought back, 0 for all others. `raw_version` is that of the
    newest recompute, -1 where that is not known.
    """

    venue: str
    session: date
    rev: int
    as_of_ns: int
    published_ns: int
    digest: str
    bars: int
    edits: int
    voids: int
    code_version: str
    profile: str
    profile_version: int
    bars_version: int
    run_id: str
    who: str
    reason: str
    raw_version: int = -1
    restores: int = 0


def publications(lake: str, session: Session) -> list[Publication]:
    """Return the publications of a session, oldest first."""
    return _read(lake, session_filters(session))


def newest_publications(lake: str, venue: str | None = None) -> list[Publication]:
    """Return the newest publication of each session, of one venue or of all. Reads the whole
    ledger.
    """
    filters: Filters | None = None if venue is None else [("venue", "=", venue)]
    newest = {(row.venue, row.session): row for row in _read(lake, filters)}
    return [newest[session] for session in sorted(newest)]


def published_sessions(lake: str, by_ns: int) -> frozenset[tuple[str, date]]:
    """Return venue and date of each session that was published by an instant."""
    columns = ["venue", "session", "published_ns"]
    rows = read_rows(lake, Table.PUBLICATIONS, None, columns)
    return frozenset((row["venue"], row["session"]) for row in rows if row["published_ns"] <= by_ns)


def record_publication(lake: str, publication: Publication) -> None:
    """Append a publication to the ledger."""
    append_rows(lake, Table.PUBLICATIONS, [asdict(publication)])


def _read(lake: str, filters: Filters | None) -> list[Publication]:
    rows = read_rows(lake, Table.PUBLICATIONS, filters)
    # a row older than a column has null there: its default is used
    present = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return sorted((Publication(**row) for row in present), key=lambda item: item.rev)
