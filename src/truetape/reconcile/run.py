"""Publishing as one call: gate, fence, publication, boundary, in the order that keeps the layers
apart.

Called by the command line and by the DAGs alike.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from truetape.errors import TransientError, VerificationError
from truetape.market.sessions import Session
from truetape.quality.run import is_current, require_open
from truetape.reconcile.control import ControlTopic
from truetape.reconcile.drift_notes import DriftNotes
from truetape.reconcile.indicators import publish_indicators
from truetape.reconcile.publication import Published, Request, publish, verify
from truetape.serving.store import open_store
from truetape.settings import Settings
from truetape.speed.board import Board
from truetape.speed.heartbeat import Phase, newest
from truetape.speed.lease import fence
from truetape.speed.spans import Span
from truetape.venues import venues

ALIVE_S = 30.0
"""A driver whose last heartbeat is older than this loses the lease instead of being waited for."""
FENCE_WAIT_S = 120.0
WITHOUT_GATE = "without the gate"
"""How the reason of a publication begins that asked no gate."""


def publish_once(
    settings: Settings,
    session: Session,
    who: str,
    reason: str,
    report: Callable[[str], None] = lambda _: None,
    *,
    gated: bool = True,
) -> Published:
    """Publish one session of the lake to the bar store, if the quality gate lets it.

    GateClosedError when it does not: nothing is written then, and no fence goes up. `gated=False`
    asks no gate, and the ledger says so beside the reason. TransientError when a live speed driver
    does not keep to the fence in time; nothing but the fence is written then.
    """
    verdict = require_open(settings, session, report) if gated else None
    words = reason if gated else f"{WITHOUT_GATE}: {reason}"
    with closing(open_store(settings)) as store, ControlTopic(settings.kafka) as control:
        boundary = control.refresh().boundary(session.venue)
        if boundary.fence_ns < session.end_ns:
            control.announce(boundary.raised(session.end_ns))
        wait_for_fence(settings, session, report)
        if verdict is not None and not is_current(settings, session, verdict):
            raise TransientError(
                f"{session.venue} {session.date} was recomputed while it was being published; "
                "nothing was written but the fence; publish again"
            )
        drift = DriftNotes.of(settings, store, session)
        request = Request(
            session, who, words, time.time_ns(), settings.seal_delay_s, note=drift.note
        )
        outcome = publish(settings.lake, store, request, report)
        drift.tell(outcome.rev)
        venue = venues()[session.venue]
        rows = publish_indicators(settings.lake, store, venue, session, outcome.last_rev)
        boundary = control.refresh().boundary(session.venue)
        if boundary.final_ns < session.end_ns:
            control.announce(boundary.sealed(session.end_ns))
        forget_late_writes(Board(control, settings.topic), session)
    return replace(outcome, indicators=rows)


def verify_once(settings: Settings, session: Session) -> int:
    """Compare what is served of one session with the lake; return how many bars were compared.

    VerificationError when they differ, with the first one that does.
    """
    with closing(open_store(settings)) as store:
        compared, wrong = verify(settings.lake, store, session)
    if wrong:
        raise VerificationError(
            f"{session.venue} {session.date}: {len(wrong):,} of {compared:,} served bars differ, "
            f"first served {wrong[0].served}, recomputed {wrong[0].recomputed}; "
            "publish the session again"
        )
    return compared


def wait_for_fence(settings: Settings, session: Session, report: Callable[[str], None]) -> None:
    """Wait until no driver can still write below the session's end.

    A driver shows the fences it keeps to in its heartbeat. From one that is silent the lease is
    taken, which it checks before every write; a write that had begun gets the time to arrive.
    """
    deadline = time.monotonic() + FENCE_WAIT_S
    while True:
        beat = newest(settings.kafka, settings.topic)
        if beat is None or beat.state not in (Phase.RUNNING, Phase.STOPPING):
            return
        if beat.fences.get(session.venue, 0) >= session.end_ns:
            return
        if (time.time_ns() - beat.beat_ns) / 1e9 > ALIVE_S:
            report(f"{beat.driver} is silent; taking the lease from it")
            fence(settings)
            time.sleep(settings.write_timeout_s if beat.writing else 0.0)
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"the speed layer ({beat.driver}) did not take the fence of "
                f"{session.venue} within {FENCE_WAIT_S:.0f} s; is it stuck? nothing was published"
            )
        report(f"waiting for the speed layer to keep to the fence of {session.venue}")
        time.sleep(0.5)


def forget_late_writes(board: Board, session: Session) -> None:
    """Take the session's bars out of the last words of drivers that wrote without the lease."""
    for word in board.refresh().ends:
        rest = tuple(span for span in word.touched if not _is_inside(span, session))
        if rest != word.touched:
            board.say(replace(word, touched=rest))


def _is_inside(span: Span, session: Session) -> bool:
    return (
        span.venue == session.venue
        and session.start_ns <= span.start_ns
        and span.end_ns <= session.end_ns
    )
