"""Publication: make the served bars of one session equal the recomputed ones, and final.

Idempotent and safe to kill at any write. A row is not atomic in InfluxDB, so a row is sealed last:
unseal what an older publication sealed, write all values, read back and compare, and only when no
query can still be reading the old values, write `final=true`.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from truetape import __version__
from truetape.lake.bars import (
    Publication,
    publications,
    recomputed,
    record,
)
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change, Edit, diff_bars, final
from truetape.publish.superseded import append_bars
from truetape.publish.two_phase_write import write_round
from truetape.serving.digest import digests_of
from truetape.serving.store import BarStore, Digest, ServedBar

SYMBOLS_PER_ROUND = 50
"""How many symbols are diffed, written and sealed together; bounds the edits held in memory."""

Report = Callable[[str], None]
BeforeWrite = Callable[[int, Mapping[Resolution, list[Edit]]], None]
"""Takes down, with the rev, the edits of a round that is about to be written."""
_Digests = Mapping[Resolution, Digest]


class TargetBars(Protocol):
    """The bars that are to be served of a session: what was recomputed, or an older rev."""

    @property
    def session(self) -> Session:
        """Return whose bars these are."""
        ...

    @property
    def symbols(self) -> list[str]:
        """Return the session's symbols, sorted."""
        ...

    @property
    def count(self) -> int:
        """Return how many bars these are, of all resolutions."""
        ...

    @property
    def profile(self) -> tuple[str, int]:
        """Return the eligibility profile of these bars and its version."""
        ...

    @property
    def version(self) -> int:
        """Return the version of the lake's `bars` that they were read from first."""
        ...

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the bars of some symbols, ordered by symbol, venue and start."""
        ...

    def digest(self) -> str:
        """Return the digest of every bar's exact values."""
        ...


@dataclass(frozen=True, slots=True)
class PublicationRequest:
    """What to publish, and the words that the ledger keeps about it.

    With `symbols` the rows of others are neither read nor written: whoever gives them knows that
    these are served as wanted. `restores` and `raw_version` go into the ledger.
    """

    session: Session
    who: str
    reason: str
    as_of_ns: int
    seal_delay_s: float
    symbols: frozenset[str] | None = None
    restores: int = 0
    raw_version: int = -1
    before_write: BeforeWrite = lambda rev, edits: None  # noqa: ARG005 - a publication that nobody asks about


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of a publication. `rev` is None when nothing had to be changed; `last_rev` is the
    newest one that is served."""

    session: Session
    rev: int | None
    last_rev: int
    changes: Mapping[Change, int]
    bars: int
    indicators: int = 0

    @property
    def edits(self) -> int:
        """Return how many rows were written."""
        return sum(self.changes.values())


def publish(
    lake: str,
    store: BarStore,
    request: PublicationRequest,
    report: Report = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Bring the served bars of a session to what the lake holds, and record the publication.

    VerificationError when the rows read back differ from those written; nothing is sealed then.
    """
    return publish_target(
        lake, store, recomputed(lake, request.session), request, report, sleep=sleep
    )


def publish_target(
    lake: str,
    store: BarStore,
    wanted: TargetBars,
    request: PublicationRequest,
    report: Report = lambda _: None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Bring the served bars of a session to those wanted, and record the publication.

    Symbols whose digests say that they are served as wanted are not read. What was final and is
    replaced is kept first. Without an edit there is a record only where there is news: of a
    publication that was killed between its last row and its record, of a revert that begins or
    ends.
    """
    session = request.session
    served = _served_digests(store, session)
    past = publications(lake, session)
    rev = _rev_above(past, served)
    changes: Counter[Change] = Counter()
    for symbols in _rounds(_chosen(served.keys() | set(wanted.symbols), request)):
        edits = dict(_edits(store, wanted, _differing(wanted, served, symbols), rev))
        changes.update(edit.change for part in edits.values() for edit in part)
        if any(edits.values()):
            _keep(lake, session, edits)
            request.before_write(rev, edits)
            write_round(store, session, edits, request.seal_delay_s, sleep)
        report(f"{session.venue} {session.date}: {sum(changes.values()):,} rows published")
    is_news = bool(changes or (past and past[-1].restores != request.restores))
    last = rev if is_news else max(rev - 1, 1)
    outcome = Published(session, rev if changes else None, last, dict(changes), wanted.count)
    if not past or past[-1].rev < last:
        record(lake, _ledger_row(wanted, request, outcome, last))
    return outcome


def next_rev(lake: str, store: BarStore, session: Session) -> int:
    """Return the rev that a publication of a session would have now."""
    return _rev_above(publications(lake, session), _served_digests(store, session))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row where served and recomputed differ, either side None where it has none."""

    resolution: Resolution
    served: ServedBar | None
    recomputed: ServedBar | None


def verify(lake: str, store: BarStore, session: Session) -> tuple[int, list[Mismatch]]:
    """Compare what is served with what was recomputed; see `compare_served`."""
    return compare_served(store, recomputed(lake, session))


def compare_served(store: BarStore, wanted: TargetBars) -> tuple[int, list[Mismatch]]:
    """Compare what is served with what is wanted; return the rows compared and those that differ.

    A served row must be final, of the batch layer and equal in every value; a void row matches
    none.
    """
    session = wanted.session
    compared, wrong = 0, []
    for resolution in Resolution:
        served = {bar.key: bar for bar in _read(store, resolution, session, None)}
        for bar in wanted.bars(resolution):
            compared += 1
            found = served.pop(bar.key, None)
            if found is None or found != final(bar, found.rev):
                wrong.append(Mismatch(resolution, found, bar))
        wrong += [Mismatch(resolution, bar, None) for bar in served.values() if not bar.void]
    return compared, wrong


def _differing(wanted: TargetBars, served: Mapping[str, _Digests], symbols: list[str]) -> list[str]:
    """Return the symbols of which something may have to be written: those that are not final as a
    whole, and those that have another digest than is wanted.
    """
    final = [symbol for symbol in symbols if _is_final(served.get(symbol, {}))]
    due: dict[str, dict[Resolution, Digest]] = {symbol: {} for symbol in final}
    for resolution in Resolution if final else ():
        for symbol, digest in digests_of(wanted.bars(resolution, final)).items():
            due[symbol][resolution] = _values(digest)
    stands = {
        symbol
        for symbol in final
        if {each: _values(digest) for each, digest in served[symbol].items()} == due[symbol]
    }
    return [symbol for symbol in symbols if symbol not in stands]


def _is_final(served: _Digests) -> bool:
    """Say whether every row of a symbol is a final bar. Void rows have a place in the digest, and
    none among the bars that are wanted: a symbol that has some is read.
    """
    every = [(digest.final, digest.batch, digest.void) for digest in served.values()]
    return bool(every) and every == [(one.bars, one.bars, 0) for one in served.values()]


def _values(digest: Digest) -> Digest:
    """The digest of the bars' values alone: without what a publication adds to them."""
    return replace(digest, rev_sum=0, rev_max=0, final=0, batch=0)


def _edits(
    store: BarStore, wanted: TargetBars, symbols: list[str], rev: int
) -> Iterator[tuple[Resolution, list[Edit]]]:
    for resolution in Resolution if symbols else ():
        served = _read(store, resolution, wanted.session, symbols)
        yield resolution, list(diff_bars(served, wanted.bars(resolution, symbols), rev, resolution))


def _chosen(symbols: set[str], request: PublicationRequest) -> set[str]:
    return symbols if request.symbols is None else symbols & request.symbols


def _keep(lake: str, session: Session, edits: Mapping[Resolution, list[Edit]]) -> None:
    """Keep the final rows that a round replaces, before the first of them is touched."""
    for resolution, part in edits.items():
        rows = [edit.before for edit in part if edit.before is not None and edit.before.final]
        append_bars(lake, session, resolution, rows)


def _read(
    store: BarStore, resolution: Resolution, session: Session, symbols: list[str] | None
) -> Iterator[ServedBar]:
    start, end = session.start_ns, session.end_ns
    return store.read(resolution, start, end, venue=session.venue, symbols=symbols)


def _served_digests(store: BarStore, session: Session) -> dict[str, _Digests]:
    """The digests of whatever is served of a session, by symbol and resolution."""
    found: dict[str, dict[Resolution, Digest]] = {}
    for resolution in Resolution:
        digests = store.digests(resolution, session.venue, session.start_ns, session.end_ns)
        for symbol, digest in digests.items():
            found.setdefault(symbol, {})[resolution] = digest
    return dict(found)


def _rounds(symbols: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(sorted(symbols))
    while symbols_of_round := list(islice(remaining, SYMBOLS_PER_ROUND)):
        yield symbols_of_round


def _rev_above(past: list[Publication], served: Mapping[str, _Digests]) -> int:
    """One more than any publication recorded, and never below a rev that is served already.

    A publication that was killed has rows but no record: its successor goes on above it.
    """
    revs = [publication.rev for publication in past]
    revs += [digest.rev_max for digests in served.values() for digest in digests.values()]
    return max(revs, default=0) + 1


def _ledger_row(
    wanted: TargetBars, request: PublicationRequest, outcome: Published, rev: int
) -> Publication:
    profile, profile_version = wanted.profile
    return Publication(
        venue=request.session.venue,
        session=request.session.date,
        rev=rev,
        as_of_ns=request.as_of_ns,
        published_ns=time.time_ns(),
        digest=wanted.digest(),
        bars=outcome.bars,
        edits=outcome.edits,
        voids=outcome.changes.get(Change.VOID, 0),
        code_version=__version__,
        profile=profile,
        profile_version=profile_version,
        bars_version=wanted.version,
        run_id=uuid.uuid4().hex,
        who=request.who,
        reason=request.reason,
        raw_version=request.raw_version,
        restores=request.restores,
    )
