"""Revert: an older rev of a session, reconstructed exactly or not at all.

Its bars are the served rows that have not changed since, and superseded rows for the others. Their
digest must equal the one in the ledger. Writes nothing itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host.errors import ConfigError, VerificationError
from truetape.lake.bars import digest_of, read_session_bars
from truetape.lake.publications import Publication, publications
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.publication import TargetBars, read_session
from truetape.publish.superseded import read_superseded, rows_as_of
from truetape.serving.bar_table import bars_of, of_symbols, with_values
from truetape.serving.store import BarStore, ServedBar


@dataclass(frozen=True, slots=True)
class RestoredSession:
    """The bars that a session had as of one of its publications, as a recompute has them."""

    session: Session
    publication: Publication
    tables: Mapping[Resolution, pa.Table]

    @property
    def symbols(self) -> list[str]:
        """Return none: each symbol of this rev is still served, if only as void rows."""
        return []

    @property
    def count(self) -> int:
        """Return the number of bars, from the ledger."""
        return self.publication.bars

    @property
    def profile(self) -> tuple[str, int]:
        """Return id and version of the eligibility profile of these bars."""
        return self.publication.profile, self.publication.profile_version

    @property
    def version(self) -> int:
        """Return the version of the lake's `bars` that this rev was published from."""
        return self.publication.bars_version

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the bars of some symbols by symbol, venue and start."""
        return bars_of(self.bar_table(resolution, symbols))

    def bar_table(self, resolution: Resolution, symbols: list[str] | None = None) -> pa.Table:
        """Return what `bars` yields as a table."""
        bars = self.tables[resolution]
        return bars if symbols is None else of_symbols(bars, symbols)

    def rows_by_symbol(self) -> Mapping[str, int]:
        """Return the number of bars of each symbol, of all resolutions."""
        counts: Counter[str] = Counter()
        for table in self.tables.values():
            for item in pc.value_counts(table.column("symbol")).to_pylist():
                counts[item["values"]] += item["counts"]
        return counts

    def digest(self) -> str:
        """Return the digest from the ledger; `reconstruct` has compared it with the bars."""
        return self.publication.digest


def reconstruct(lake: str, store: BarStore, session: Session, rev: int) -> RestoredSession:
    """Reconstruct an older rev of a session. Raise ConfigError if the session has no such rev.

    Raise VerificationError if the rev cannot be reconstructed any more: another writer changed the
    store, or the store was lost and filled again from the lake.
    """
    publication = _publication_of(rev, publications(lake, session), session)
    superseded = read_superseded(lake, session).bars
    tables = {}
    for resolution in Resolution:
        served = read_session(store, resolution, session)
        rows = rows_as_of(served, superseded[resolution], rev)
        present = rows.filter(pc.invert(rows.column("void")))
        tables[resolution] = with_values(present, rev=0, final=False)
    restored = RestoredSession(session, publication, tables)
    digest = digest_of(tables.values())
    if digest != publication.digest:
        raise VerificationError(
            f"{session.venue} {session.date}: rev {rev} cannot be reconstructed any more: the "
            "served and superseded rows have another digest than the ledger; nothing was written. "
            'See "Reverting a session" in docs/RUNBOOK.md'
        )
    return restored


def target_bars(lake: str, store: BarStore, session: Session) -> TargetBars:
    """Return the bars that must be served now: those of the rev that a revert restored, else the
    recomputed ones.
    """
    past = publications(lake, session)
    held = revert_in_force(past)
    return (
        read_session_bars(lake, session)
        if held is None
        else reconstruct(lake, store, session, held.rev)
    )


def revert_in_force(past: Sequence[Publication]) -> Publication | None:
    """Return the newest publication of a session if it is a revert, else None."""
    return past[-1] if past and past[-1].restores else None


def is_held(lake: str, session: Session) -> bool:
    """True if a revert holds the session at an older rev."""
    return revert_in_force(publications(lake, session)) is not None


def _publication_of(rev: int, past: Sequence[Publication], session: Session) -> Publication:
    for publication in past:
        if publication.rev == rev:
            return publication
    revs = ", ".join(str(publication.rev) for publication in past) or "none"
    raise ConfigError(f"{session.venue} {session.date} has no rev {rev}; it has {revs}")
