"""Which versions of a feed's contract decoded the records of a session. Decodes nothing.

The archive decodes a record once, by the contract of that day, and `raw` keeps the version. After a
change of the contract a session may have events that were decoded by several versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from truetape.feeds.contract import contract_names, load_contract
from truetape.lake.delta import open_or_none
from truetape.lake.events import session_bounds
from truetape.lake.tables import Table, session_condition
from truetape.market.sessions import Session


@dataclass(frozen=True, slots=True)
class DecodedBy:
    """The number of a feed's archived records by the version that decoded them.

    `present` is the version of the contract now; None if there is no contract any more.
    """

    feed: str
    records: Mapping[int | None, int]
    present: int | None

    @property
    def is_uniform(self) -> bool:
        """True if the present contract decoded every record."""
        return self.records.keys() == {self.present}

    def __str__(self) -> str:
        counts = ", ".join(
            f"{'none' if version is None else version} ({records:,})"
            for version, records in sorted(
                self.records.items(), key=lambda item: (item[0] is None, item)
            )
        )
        now = "no contract" if self.present is None else f"contract version {self.present}"
        return f"feed {self.feed} has {now} now; the archive decoded records by version {counts}"


def decoded_by(lake: str, session: Session) -> list[DecodedBy]:
    """Return, by feed, which versions decoded the records of a recomputed session, by feed name.

    Counts the records with events in the session's time, of the feeds that have trades in it.
    """
    import pyarrow.compute as pc

    raw, trades = open_or_none(lake, Table.RAW), open_or_none(lake, Table.TRADES)
    if raw is None or trades is None:
        return []
    of_session = session_condition(session)
    feeds: list[str] = sorted(trades.select(["feed"], of_session)["feed"].unique().to_pylist())  # type: ignore[arg-type]  # `feed` is never null
    if not feeds:
        return []
    first_ns, last_ns = session_bounds(session)
    inside = (pc.field("last_event_ns") >= first_ns) & (pc.field("first_event_ns") <= last_ns)
    rows = raw.select(["feed", "contract_version"], inside & pc.field("feed").isin(feeds))
    counts = rows.group_by(["feed", "contract_version"]).aggregate([([], "count_all")]).to_pylist()
    return [
        DecodedBy(
            feed,
            {row["contract_version"]: row["count_all"] for row in counts if row["feed"] == feed},
            load_contract(feed).version if feed in contract_names() else None,
        )
        for feed in feeds
    ]
