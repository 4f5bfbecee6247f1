"""Revert: an older rev of a session put together again, exactly, or not at all.

Its bars are what is served and unchanged since, and superseded rows where something changed. They
must have the digest that the ledger keeps of that rev: only then is anything written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from truetape.host.errors import ConfigError, VerificationError
from truetape.lake.bars import Publication, digest_of, publications, recomputed
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.publication import TargetBars
from truetape.publish.superseded import newest_up_to, read_superseded, rows_as_of
from truetape.serving.store import BarStore, Key, ServedBar


@dataclass(frozen=True, slots=True)
class RestoredSession:
    """The bars that a session had as of one of its publications."""

    session: Session
    publication: Publication
    store: BarStore
    kept: Mapping[Resolution, Mapping[Key, ServedBar]]

    @property
    def symbols(self) -> list[str]:
        """Return none: whatever this rev had is among what is served, if void."""
        return []

    @property
    def count(self) -> int:
        """Return how many bars the ledger says these are."""
        return self.publication.bars

    @property
    def profile(self) -> tuple[str, int]:
        """Return the eligibility profile of these bars and its version."""
        return self.publication.profile, self.publication.profile_version

    @property
    def version(self) -> int:
        """Return the version of the lake's `bars` that they were read from first."""
        return self.publication.bars_version

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the bars of some symbols as a recompute gives them, by symbol, venue and start."""
        served = self.store.read(
            resolution,
            self.session.start_ns,
            self.session.end_ns,
            venue=self.session.venue,
            symbols=symbols,
        )
        for bar in rows_as_of(served, self.kept[resolution], self.publication.rev):
            if not bar.void:
                yield replace(bar, rev=0, final=False)

    def digest(self) -> str:
        """Return the digest that the ledger keeps, which the bars were compared with."""
        return self.publication.digest


def reconstruct(lake: str, store: BarStore, session: Session, rev: int) -> RestoredSession:
    """Put an older rev together; ConfigError where there was none such.

    VerificationError when it cannot be had any more: somebody wrote to the store, or it was lost
    and filled again from the lake.
    """
    found = _named(publications(lake, session), session, rev)
    kept = {
        resolution: newest_up_to(rev, rows)
        for resolution, rows in read_superseded(lake, session).bars.items()
    }
    whole = RestoredSession(session, found, store, kept)
    digest = digest_of(bar for resolution in Resolution for bar in whole.bars(resolution))
    if digest != found.digest:
        raise VerificationError(
            f"{session.venue} {session.date}: rev {rev} cannot be put together any more, what is "
            "served and kept has another digest than the ledger; nothing was written. See "
            '"Reverting a session" in docs/RUNBOOK.md'
        )
    return whole


def target_bars(lake: str, store: BarStore, session: Session) -> TargetBars:
    """Return the bars that must be served now: the rev that a revert restored, else those of the
    lake.
    """
    past = publications(lake, session)
    held = revert_in_force(past)
    return (
        recomputed(lake, session) if held is None else reconstruct(lake, store, session, held.rev)
    )


def revert_in_force(past: Sequence[Publication]) -> Publication | None:
    """Return the newest publication of a session if it is a revert, None otherwise."""
    return past[-1] if past and past[-1].restores else None


def is_held(lake: str, session: Session) -> bool:
    """Say whether a session is held at the rev that a revert restored."""
    return revert_in_force(publications(lake, session)) is not None


def _named(past: Sequence[Publication], session: Session, rev: int) -> Publication:
    for publication in past:
        if publication.rev == rev:
            return publication
    known = ", ".join(str(publication.rev) for publication in past) or "none"
    raise ConfigError(f"{session.venue} {session.date} has no rev {rev}; it has {known}")
