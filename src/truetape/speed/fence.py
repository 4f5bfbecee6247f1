"""The fence as a publication needs it: the speed layer writes no bar that starts below it.

Raises no fence; the boundary of a venue on the control topic does that.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.market.sessions import Session
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.heartbeat import Heartbeat, Phase, newest
from truetape.speed.lease import revoke

ALIVE_S = 30.0
"""A driver whose last heartbeat is older loses the lease; a publication does not wait for it."""
FENCE_WAIT_S = 120.0
_POLL_S = 0.5


class FenceState(StrEnum):
    """Whether a driver can still write below a fence."""

    OBEYED = "obeyed"
    PENDING = "pending"
    """It will read the fence before its next write."""
    SILENT = "silent"
    """It sends no heartbeats: frozen or dead. It must lose the lease first."""


def fence_state(beat: Heartbeat | None, venue: str, fence_ns: int, now_ns: int) -> FenceState:
    """Judge a fence by the newest heartbeat.

    A driver that starts obeys: it reads the fences before its first write.
    """
    if beat is None or beat.state not in (Phase.RUNNING, Phase.STOPPING):
        return FenceState.OBEYED
    if beat.fences.get(venue, 0) >= fence_ns:
        return FenceState.OBEYED
    is_silent = (now_ns - beat.beat_ns) / 1e9 > ALIVE_S
    return FenceState.SILENT if is_silent else FenceState.PENDING


def wait_until_fenced(settings: Settings, session: Session, report: Callable[[str], None]) -> None:
    """Wait until no driver can write a bar that starts below the session's end.

    A driver reports in its heartbeat the fences that it obeys. If it is silent, take its lease,
    which it checks before every write, and give a write that it has begun the time to arrive. Raise
    TransientError if a driver neither obeys nor falls silent within `FENCE_WAIT_S`.
    """
    deadline = time.monotonic() + FENCE_WAIT_S
    while True:
        beat = newest(settings.kafka, settings.topic)
        state = fence_state(beat, session.venue, session.end_ns, time.time_ns())
        if beat is None or state is FenceState.OBEYED:
            return
        if state is FenceState.SILENT:
            report(f"{beat.driver} is silent; taking the lease from it")
            revoke(settings)
            time.sleep(settings.write_timeout_s if beat.writing else 0.0)
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"the speed layer ({beat.driver}) did not obey the fence of {session.venue} within "
                f"{FENCE_WAIT_S:.0f} s; is it stuck? nothing was published"
            )
        report(f"waiting for the speed layer to obey the fence of {session.venue}")
        time.sleep(_POLL_S)


def clear_late_writes(records: ControlRecords, session: Session) -> None:
    """Remove the session's bars from the exit reports of drivers that wrote without the lease."""
    for exit_report in records.refresh().exit_reports:
        rest = tuple(span for span in exit_report.late_writes if not _is_inside(span, session))
        if rest != exit_report.late_writes:
            records.write_exit_report(replace(exit_report, late_writes=rest))


def _is_inside(span: Span, session: Session) -> bool:
    return (
        span.venue == session.venue
        and session.start_ns <= span.start_ns
        and span.end_ns <= session.end_ns
    )
