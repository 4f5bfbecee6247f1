"""Publishing, reverting and verifying a session as one call, for the command line and the DAGs.

Publishing runs gate, fence, bars, indicators, boundary, in this order, which keeps the layers
apart. Computes no bars.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace

from truetape.drift.attribution import Cause
from truetape.drift.recorder import DriftRecorder
from truetape.host.errors import ConfigError, TransientError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.host.words import REPLACE_REVERT
from truetape.lake.bars_lineage import RecomputeBasis, recompute_bases
from truetape.lake.dirty import clear_marks
from truetape.lake.publications import Publication, publications
from truetape.market.sessions import Session
from truetape.pipeline.venue_publication import VenuePublication, open_publication
from truetape.publish.indicators import publish_indicators, restore_indicators
from truetape.publish.publication import (
    PublicationRequest,
    Published,
    next_rev,
    publish,
    publish_target,
)
from truetape.publish.revert import reconstruct, revert_in_force, target_bars
from truetape.publish.verification import compare_served, next_move
from truetape.quality.checks import closed_by, is_current, require_open
from truetape.quality.dag_runs import DagRun
from truetape.serving.backends import open_store

WITHOUT_GATE = "without the gate"
"""The ledger's reason of a publication without the gate begins with this."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How a publication differs from the usual one; a person must ask for each difference.

    `gated`: ask the quality gate. `dirty_only`: skip symbols that were not recomputed since the
    last publication. `supersedes`: replace a revert if there is one. `restarts_boundary`: count the
    boundary from this session on, whatever is missing before it. `dag_run`: the run that publishes;
    the gate's report is recorded as one of its reports.
    """

    gated: bool = True
    dirty_only: bool = False
    supersedes: bool = False
    restarts_boundary: bool = False
    dag_run: DagRun | None = None


DEFAULT_OPTIONS = PublishOptions()


def publish_once(
    settings: Settings,
    session: Session,
    who: str,
    reason: str,
    report: Callable[[str], None] = lambda _: None,
    *,
    options: PublishOptions = DEFAULT_OPTIONS,
) -> Published:
    """Publish one session of the lake to the bar store, if the quality gate is open.

    Without the gate, the ledger records that beside the reason. Raise GateClosedError if the gate
    is closed; then nothing is written and the fence stays where it is. Raise ConfigError if the
    session was reverted and the options do not supersede that. Raise TransientError if a live speed
    driver does not adopt the fence in time; then only the fence is written.
    """
    verdict = require_open(settings, session, report, options.dag_run) if options.gated else None
    with open_publication(settings, session, report) as publication:
        store, past = publication.store, publications(settings.lake, session)
        recorded_reason = ledger_reason(reason, options, past, session)
        publication.raise_fence(report)
        if verdict is not None and not is_current(settings, session, verdict):
            raise TransientError(
                f"{session.venue} {session.date} was recomputed while it was being published; "
                "only the fence was written; publish again"
            )
        # read before the bars, so that the bars are at least as new
        recomputes = recompute_bases(settings.lake, session)
        drift = DriftRecorder.of(settings, store, session)
        request = PublicationRequest(
            session, who, recorded_reason, time.time_ns(), settings.seal_delay_s,
            symbols=_dirty_symbols(publication, recomputes, past) if options.dirty_only else None,
            raw_version=max((basis.raw_version for basis in recomputes), default=-1),
            before_write=drift.record_round,
        )  # fmt: skip
        outcome = publish(settings.lake, store, request, report)
        drift.finish(outcome.rev)
        venue = venues()[session.venue]
        rows = publish_indicators(settings.lake, store, venue, session, outcome.last_rev)
        outcome = replace(outcome, indicators=rows)
        publication.finish(
            outcome, who, recorded_reason, restarts_boundary=options.restarts_boundary
        )
        clear_marks(settings.lake, session, recomputes)
    return outcome


def revert_once(
    settings: Settings,
    session: Session,
    rev: int,
    who: str,
    reason: str,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Published:
    """Serve an older rev of a session again, under a new rev of its own.

    Asks no gate: that rev was published before. Safe to repeat. Raise ConfigError if the session
    has no such rev. Raise VerificationError if it cannot be reconstructed exactly; then nothing is
    written.
    """
    with open_publication(settings, session, report) as publication:
        store = publication.store
        target = reconstruct(settings.lake, store, session, rev)
        publication.raise_fence(report)
        recorded_reason = f"revert to rev {rev}: {reason}"
        drift = DriftRecorder.of(settings, store, session, Cause.REVERT)
        request = PublicationRequest(
            session, who, recorded_reason, target.publication.as_of_ns, settings.seal_delay_s,
            restores=rev, raw_version=target.publication.raw_version,
            before_write=drift.record_round,
        )  # fmt: skip
        outcome = publish_target(settings.lake, store, target, request, report)
        drift.finish(outcome.rev)
        rows = restore_indicators(settings.lake, store, session, rev, outcome.last_rev)
        outcome = replace(outcome, indicators=rows)
        publication.finish(outcome, who, recorded_reason)
    return outcome


def verify_once(settings: Settings, session: Session) -> int:
    """Compare the served bars of a session with those it must serve; return how many were compared.

    Raise VerificationError with the first bar that differs.
    """
    with closing(open_store(settings)) as store:
        target = target_bars(settings.lake, store, session)
        compared, mismatches = compare_served(store, target)
    if mismatches:
        first = mismatches[0]
        raise VerificationError(
            f"{session.venue} {session.date}: {len(mismatches):,} of {compared:,} served bars "
            f"differ, first served {first.served}, recomputed {first.recomputed}; "
            f"{next_move(settings, target, compared, mismatches, closed_by(settings, session))}"
        )
    return compared


def ledger_reason(
    reason: str, options: PublishOptions, past: list[Publication], session: Session
) -> str:
    """Return the reason that the ledger records. Raise ConfigError if a revert holds the session
    and the options do not supersede it.
    """
    held = revert_in_force(past)
    recorded = reason if options.gated else f"{WITHOUT_GATE}: {reason}"
    if held is None:
        return recorded
    if not options.supersedes:
        raise ConfigError(
            f"{session.venue} {session.date} is held at rev {held.restores} by {held.who} "
            f"({held.reason}); to replace that, publish with --replace-revert, or in Airflow tick "
            f'"{REPLACE_REVERT}" in the form of its batch_recompute'
        )
    return f"supersedes the revert to rev {held.restores}: {recorded}"


def symbols_recomputed_since(
    recomputes: Iterable[RecomputeBasis], last: Publication | None
) -> frozenset[str] | None:
    """Return the symbols that were recomputed after a publication; None means all symbols."""
    if last is None:
        return None
    newer = [basis.symbols for basis in recomputes if basis.bars_version > last.bars_version]
    if None in newer:
        return None
    return frozenset(symbol for symbols in newer for symbol in symbols or ())


def _dirty_symbols(
    publication: VenuePublication, recomputes: list[RecomputeBasis], past: list[Publication]
) -> frozenset[str] | None:
    """Return the symbols to publish; None, for all, if a served row has no recorded publication."""
    if not past or revert_in_force(past):
        return None
    lake, session = publication.settings.lake, publication.session
    if next_rev(lake, publication.store, session) != past[-1].rev + 1:
        return None
    return symbols_recomputed_since(recomputes, past[-1])
