"""Publishing as one call: fence, publication, boundary, in the order that keeps the layers apart.

Called by the command line and by the DAGs alike.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from truetape.errors import TransientError, VerificationError
from truetape.market.sessions import Session
from truetape.reconcile.control import ControlTopic
from truetape.reconcile.indicators import publish_indicators
from truetape.reconcile.publication import Published, Request, publish, verify
from truetape.serving.store import open_store
from truetape.settings import Settings
from truetape.speed.heartbeat import newest
from truetape.venues import venues

ALIVE_S = 30.0
"""A driver whose last heartbeat is older than this is not waited for."""
FENCE_WAIT_S = 120.0


def publish_once(
    settings: Settings,
    session: Session,
    who: str,
    reason: str,
    report: Callable[[str], None] = lambda _: None,
) -> Published:
    """Publish one session of the lake to the bar store.

    TransientError when a live speed driver does not keep to the fence in time; nothing is written
    then.
    """
    with closing(open_store(settings)) as store, ControlTopic(settings.kafka) as control:
        boundary = control.refresh().boundary(session.venue)
        if boundary.fence_ns < session.end_ns:
            control.announce(boundary.raised(session.end_ns))
        _wait_for_fence(settings, session, report)
        request = Request(session, who, reason, time.time_ns(), settings.seal_delay_s)
        outcome = publish(settings.lake, store, request, report)
        venue = venues()[session.venue]
        rows = publish_indicators(settings.lake, store, venue, session, outcome.last_rev)
        boundary = control.refresh().boundary(session.venue)
        if boundary.final_ns < session.end_ns:
            control.announce(boundary.sealed(session.end_ns))
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


def _wait_for_fence(settings: Settings, session: Session, report: Callable[[str], None]) -> None:
    """Wait until no driver can still write below the session's end.

    A driver shows the fences it keeps to in its heartbeat; one that is stopped or silent is past
    doubt only as far as the lease goes, which is checked before every write.
    """
    deadline = time.monotonic() + FENCE_WAIT_S
    while True:
        beat = newest(settings.kafka)
        age_s = 0.0 if beat is None else (time.time_ns() - beat.beat_ns) / 1e9
        if beat is None or beat.state != "running" or age_s > ALIVE_S:
            return
        if beat.fences.get(session.venue, 0) >= session.end_ns:
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"the speed layer (pid {beat.pid} on {beat.host}) did not take the fence of "
                f"{session.venue} within {FENCE_WAIT_S:.0f} s; is it stuck? nothing was published"
            )
        report(f"waiting for the speed layer to keep to the fence of {session.venue}")
        time.sleep(0.5)
