"""The fence as a publication needs it: the speed layer writes no bar that starts below it.

Raises no fence; the boundary of a venue on the control topic does that.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.market.sessions import Session
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Life, life_of
from truetape.speed.heartbeat import BEATING, Heartbeat, newest
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
    ENDED = "ended"
    """Its process has ended on this machine; only a write that it had begun may still arrive."""


def fence_state(
    beat: Heartbeat | None,
    venue: str,
    fence_ns: int,
    now_ns: int,
    *,
    life: Life = Life.UNSEEN,
    unchanged_s: float = 0.0,
) -> FenceState:
    """Judge a fence by the newest heartbeat, and by how long no newer one has arrived here.

    A driver that starts obeys: it reads the fences before its first write. The age of a heartbeat
    compares two clocks; `unchanged_s` is measured by one, so a heartbeat from the future keeps
    nobody waiting.
    """
    if beat is None or beat.state not in BEATING:
        return FenceState.OBEYED
    if beat.fences.get(venue, 0) >= fence_ns:
        return FenceState.OBEYED
    if life is Life.DEAD:
        return FenceState.ENDED
    is_silent = max((now_ns - beat.beat_ns) / 1e9, unchanged_s) > ALIVE_S
    return FenceState.SILENT if is_silent else FenceState.PENDING


def wait_until_fenced(settings: Settings, session: Session, report: Callable[[str], None]) -> None:
    """Wait until no driver can write a bar that starts below the session's end.

    A driver reports in its heartbeat the fences that it obeys. If it is silent, take its lease,
    which it checks before every write, and give a write that it has begun the time to arrive. Raise
    TransientError if a driver neither obeys nor falls silent within `FENCE_WAIT_S`.
    """
    deadline, changed_s, last = time.monotonic() + FENCE_WAIT_S, time.monotonic(), None
    while True:
        beat = newest(settings.kafka, settings.topic)
        if beat is None:
            return
        if last != (last := (beat.epoch, beat.beat_ns)):
            changed_s = time.monotonic()
        now_ns = time.time_ns()
        state = fence_state(
            beat,
            session.venue,
            session.end_ns,
            now_ns,
            life=life_of(beat.driver),
            unchanged_s=time.monotonic() - changed_s,
        )
        clocks = beat.clocks(datetime.fromtimestamp(now_ns / 1e9, UTC))
        match state:
            case FenceState.OBEYED:
                return
            case FenceState.ENDED:
                report(f"{beat.driver} has ended")
            case FenceState.SILENT:
                report(_joined(f"{beat.driver} is silent; taking the lease from it", clocks))
                revoke(settings)
        if state is not FenceState.PENDING:
            time.sleep(settings.write_timeout_s if beat.writing else 0.0)
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"the speed layer ({beat.driver}) did not obey the fence of {session.venue} within "
                + _joined(f"{FENCE_WAIT_S:.0f} s; is it stuck? nothing was published", clocks)
            )
        report(_joined(f"waiting for the speed layer to obey the fence of {session.venue}", clocks))
        time.sleep(_POLL_S)


def clear_late_writes(records: ControlRecords, session: Session) -> None:
    """Remove the session's bars from the exit reports of drivers that wrote without the lease."""
    for exit_report in records.refresh().exit_reports:
        rest = tuple(span for span in exit_report.late_writes if not _is_inside(span, session))
        if rest != exit_report.late_writes:
            records.write_exit_report(replace(exit_report, late_writes=rest))


def _joined(text: str, clocks: str) -> str:
    return f"{text}; {clocks}" if clocks else text


def _is_inside(span: Span, session: Session) -> bool:
    return (
        span.venue == session.venue
        and session.start_ns <= span.start_ns
        and span.end_ns <= session.end_ns
    )
