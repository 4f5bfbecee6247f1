"""Publication: make the served bars of one session equal the recomputed ones, and final.

Idempotent and safe to kill at any write: `two_phase_write` seals the rows last. Asks no gate and
moves no fence or boundary: `pipeline.publish` does.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa

from truetape import __version__
from truetape.lake.bars import read_session_bars
from truetape.lake.publications import Publication, publications, record_publication
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change, Edits, diff_bars
from truetape.publish.superseded import append_bars
from truetape.publish.two_phase_write import RoundEdits, TwoPhaseWrite
from truetape.serving.digest import digests_of
from truetape.serving.store import BarStore, Digest, ServedBar

ROUND_ROWS = 250_000
"""About how many rows, served and recomputed, are read, compared and unsealed together. All edits
stay in memory, as Arrow tables, until they are sealed.
"""

Report = Callable[[str], None]
BeforeWrite = Callable[[int, RoundEdits], None]
"""Is called with the rev and the edits of a round before they are written."""
_Digests = Mapping[Resolution, Digest]


class TargetBars(Protocol):
    """The bars that a session must serve: the recomputed ones, or those of an older rev."""

    @property
    def session(self) -> Session:
        """Return the session of these bars."""
        ...

    @property
    def symbols(self) -> list[str]:
        """Return the session's symbols, sorted."""
        ...

    @property
    def count(self) -> int:
        """Return the number of bars, of all resolutions."""
        ...

    @property
    def profile(self) -> tuple[str, int]:
        """Return id and version of the eligibility profile of these bars."""
        ...

    @property
    def version(self) -> int:
        """Return the version of the lake's `bars` that they come from."""
        ...

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the bars of some symbols, ordered by symbol, venue and start."""
        ...

    def bar_table(self, resolution: Resolution, symbols: list[str] | None = None) -> pa.Table:
        """Return what `bars` yields as a table; see `serving.bar_table`."""
        ...

    def rows_by_symbol(self) -> Mapping[str, int]:
        """Return the number of bars of each symbol, of all resolutions."""
        ...

    def digest(self) -> str:
        """Return the digest of every bar's exact values."""
        ...


@dataclass(frozen=True, slots=True)
class PublicationRequest:
    """What to publish, and what the ledger records about it.

    With `symbols`, the rows of other symbols are neither read nor written: the caller knows that
    they need no edit. `restores` and `raw_version` go into the ledger.
    """

    session: Session
    who: str
    reason: str
    as_of_ns: int
    seal_delay_s: float
    symbols: frozenset[str] | None = None
    restores: int = 0
    raw_version: int = -1
    before_write: BeforeWrite = lambda rev, edits: None  # noqa: ARG005 - a hook that does nothing


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of a publication. `rev` is None if no row changed; `last_rev` is the newest rev
    that is served.
    """

    session: Session
    rev: int | None
    last_rev: int
    changes: Mapping[Change, int]
    bars: int
    indicators: int = 0

    @property
    def edits(self) -> int:
        """Return the number of rows written."""
        return sum(self.changes.values())


def publish(
    lake: str,
    store: BarStore,
    request: PublicationRequest,
    report: Report = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Make the served bars of a session equal the recomputed ones; record the publication.

    Raise VerificationError if rows differ when read back; then nothing is sealed.
    """
    return publish_target(
        lake, store, read_session_bars(lake, request.session), request, report, sleep=sleep
    )


def publish_target(
    lake: str,
    store: BarStore,
    target: TargetBars,
    request: PublicationRequest,
    report: Report = lambda _: None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Make the served bars of a session equal the target; record the publication.

    Symbols whose digests already equal the target are not read. Final rows are appended to the
    superseded ones before they are replaced. Without an edit, a publication is recorded only if a
    killed publication wrote its last row but no record, or if a revert begins or ends.
    """
    session = request.session
    served = served_digests(store, session)
    past = publications(lake, session)
    rev = _rev_above(past, served)
    changes: Counter[Change] = Counter()
    write = TwoPhaseWrite(store, session, served, request.seal_delay_s, sleep)
    differing = differing_symbols(
        target, served, _selected(served.keys() | set(target.symbols), request)
    )
    for symbols in _rounds(differing, served, target):
        edits = _edits(store, target, symbols, rev)
        if any(map(len, edits.values())):
            _append_superseded(lake, session, edits)
            request.before_write(rev, edits)
            write.unseal(edits)
            changes.update(_counts(edits))
            report(f"{session.venue} {session.date}: {changes.total():,} rows to publish")
    write.write_and_seal()
    report(f"{session.venue} {session.date}: {changes.total():,} rows published")
    must_record = bool(changes or (past and past[-1].restores != request.restores))
    last = rev if must_record else max(rev - 1, 1)
    outcome = Published(session, rev if changes else None, last, dict(changes), target.count)
    if not past or past[-1].rev < last:
        record_publication(lake, _ledger_row(target, request, outcome, last))
    return outcome


def next_rev(lake: str, store: BarStore, session: Session) -> int:
    """Return the rev that the next publication of a session gets."""
    return _rev_above(publications(lake, session), served_digests(store, session))


def differing_symbols(
    target: TargetBars, served: Mapping[str, _Digests], symbols: set[str]
) -> list[str]:
    """Return the symbols that may need an edit: those with a row that is not final, and those whose
    digest differs from the target's.
    """
    final = sorted(symbol for symbol in symbols if _is_final(served.get(symbol, {})))
    expected: dict[str, dict[Resolution, Digest]] = {symbol: {} for symbol in final}
    for resolution in Resolution if final else ():
        for symbol, digest in digests_of(target.bar_table(resolution, final)).items():
            expected[symbol][resolution] = _values(digest)
    equal = {
        symbol
        for symbol in final
        if {width: _values(digest) for width, digest in served[symbol].items()} == expected[symbol]
    }
    return sorted(symbols - equal)


def _is_final(served: _Digests) -> bool:
    """True if every row of a symbol is a final bar. A symbol with void rows is never equal by
    digest: the digest counts void rows and the target has none.
    """
    digests = served.values()
    return bool(digests) and all(
        (digest.final, digest.batch, digest.void) == (digest.bars, digest.bars, 0)
        for digest in digests
    )


def _values(digest: Digest) -> Digest:
    """Return the digest of the bars' values alone, without the fields that a publication sets."""
    return replace(digest, rev_sum=0, rev_max=0, final=0, batch=0)


def _edits(
    store: BarStore, target: TargetBars, symbols: list[str], rev: int
) -> dict[Resolution, Edits]:
    edits = {}
    for resolution in Resolution:
        served = read_session(store, resolution, target.session, symbols)
        recomputed = target.bar_table(resolution, symbols)
        edits[resolution] = diff_bars(served, recomputed, rev, resolution)
    return edits


def _counts(edits: RoundEdits) -> Counter[Change]:
    counts: Counter[Change] = Counter()
    for part in edits.values():
        counts.update(part.counts())
    return counts


def _selected(symbols: set[str], request: PublicationRequest) -> set[str]:
    return symbols if request.symbols is None else symbols & request.symbols


def _append_superseded(lake: str, session: Session, edits: RoundEdits) -> None:
    """Append the final rows that a round replaces, before the first of them is overwritten."""
    append_bars(lake, session, {width: part.replaced_final for width, part in edits.items()})


def read_session(
    store: BarStore, resolution: Resolution, session: Session, symbols: list[str] | None = None
) -> pa.Table:
    """Return the served rows of a session, or those of some of its symbols."""
    start, end = session.start_ns, session.end_ns
    return store.read_table(resolution, start, end, venue=session.venue, symbols=symbols)


def served_digests(store: BarStore, session: Session) -> dict[str, _Digests]:
    """Return the digests of the served rows of a session, by symbol and resolution."""
    by_symbol: dict[str, dict[Resolution, Digest]] = {}
    for resolution in Resolution:
        digests = store.digests(resolution, session.venue, session.start_ns, session.end_ns)
        for symbol, digest in digests.items():
            by_symbol.setdefault(symbol, {})[resolution] = digest
    return dict(by_symbol)


def _rounds(
    symbols: list[str], served: Mapping[str, _Digests], target: TargetBars
) -> Iterator[list[str]]:
    """Split symbols into rounds of about `ROUND_ROWS` rows, of at least one symbol."""
    recomputed = target.rows_by_symbol()
    batch: list[str] = []
    rows = 0
    for symbol in symbols:
        own = sum(digest.bars for digest in served.get(symbol, {}).values())
        own += recomputed.get(symbol, 0)
        if batch and rows + own > ROUND_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(symbol)
        rows += own
    if batch:
        yield batch


def _rev_above(past: list[Publication], served: Mapping[str, _Digests]) -> int:
    """Return one more than the newest recorded rev and than the newest served one.

    A killed publication has rows but no record: the next publication gets a rev above it.
    """
    revs = [publication.rev for publication in past]
    revs += [digest.rev_max for digests in served.values() for digest in digests.values()]
    return max(revs, default=0) + 1


def _ledger_row(
    target: TargetBars, request: PublicationRequest, outcome: Published, rev: int
) -> Publication:
    profile, profile_version = target.profile
    return Publication(
        venue=request.session.venue,
        session=request.session.date,
        rev=rev,
        as_of_ns=request.as_of_ns,
        published_ns=time.time_ns(),
        digest=target.digest(),
        bars=outcome.bars,
        edits=outcome.edits,
        voids=outcome.changes.get(Change.VOID, 0),
        code_version=__version__,
        profile=profile,
        profile_version=profile_version,
        bars_version=target.version,
        run_id=uuid.uuid4().hex,
        who=request.who,
        reason=request.reason,
        raw_version=request.raw_version,
        restores=request.restores,
    )
