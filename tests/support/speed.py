"""Builders for the speed layer's records: every default is the boring value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from truetape.speed.control_records import Desired, DesiredState, ExitReport, Launch, LaunchKind
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.position import PartitionPosition, SpeedPosition

NOW = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)
"""Ten in the morning in New York: XNYS is open."""


def ago(seconds: float) -> datetime:
    """Return the instant so many seconds before `NOW`."""
    return NOW - timedelta(seconds=seconds)


def ns(instant: datetime) -> int:
    return int(instant.timestamp() * 1e9)


def driver(pid: int = 1) -> Driver:
    """Build a process of a machine that is not this one."""
    return Driver("host-1", "boot-1/pid:[1]", pid, f"boot-1/{pid}00")


def position(batch: int = 7, closed_ns: int = 0, **offsets: int) -> SpeedPosition:
    """Build a position without open windows; `offsets` are named p0, p1 …"""
    return SpeedPosition(
        batch,
        {
            part.removeprefix("p"): PartitionPosition(offset, closed_ns, offset, closed_ns)
            for part, offset in offsets.items()
        },
    )


def beat(pid: int = 1, seconds_ago: float = 0.5, **fields: object) -> Heartbeat:
    """Build a heartbeat of a driver that has worked for an hour and has read everything."""
    values: dict[str, object] = {
        "layer": "trades",
        "epoch": 1,
        "driver": driver(pid),
        "command": 1,
        "started_ns": ns(ago(3_600)),
        "beat_ns": ns(ago(seconds_ago)),
        "state": Phase.RUNNING,
        "batch_end_ns": ns(ago(seconds_ago)),
        "position": position(p0=100),
    }
    return Heartbeat(**(values | fields))  # type: ignore[arg-type]


def command(
    state: DesiredState = DesiredState.STARTED, number: int = 1, seconds_ago: float = 7_200
) -> Desired:
    """Build a command of two hours ago."""
    return Desired(state, number, "open for business", "ops", ago(seconds_ago))


def launch(pid: int | None = 1, seconds_ago: float = 3_700, **fields: object) -> Launch:
    """Build the launch of the driver that `beat` reports; later launches need `after=1`."""
    process = None if pid is None else driver(pid)
    made = Launch(ago(seconds_ago), 1, 0, LaunchKind.START, "no driver runs", process)
    return replace(made, **fields)  # type: ignore[arg-type]


def failed(pid: int, seconds_ago: float, worked_s: float = 5, code: int | None = 75) -> Launch:
    """Build a launch that ended by itself `worked_s` after it began."""
    ended = ago(seconds_ago - worked_s)
    return launch(pid, seconds_ago, ended=ended, code=code, worked_s=worked_s)


def exit_report(
    pid: int = 1, code: int = 75, seconds_ago: float = 1, **fields: object
) -> ExitReport:
    """Build a driver's exit report."""
    made = ExitReport(1, driver(pid), code, "the streaming query ended", ago(seconds_ago))
    return replace(made, **fields)  # type: ignore[arg-type]
